use tidegate_core::id::Digest;

use crate::{
    Engine, Error, Result,
    ports::{Revision, Role},
    tenants::Actor,
};

/// Enables or disables a revision for new campaigns. Running campaigns continue with it.
pub async fn enable(
    engine: &Engine,
    actor: &Actor,
    plugin: &str,
    digest: Digest,
    enabled: bool,
) -> Result<Revision> {
    actor.require(Role::Publisher)?;
    if !engine
        .store()
        .enable_revision(actor.tenant, plugin, digest, enabled)
        .await?
    {
        return Err(Error::not_found("plugin revision", digest));
    }
    super::revision(engine, actor, plugin, digest).await
}
