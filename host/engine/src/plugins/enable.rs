use tidegate_core::id::Digest;

use crate::{Authorized, Engine, Error, Publisher, Result, ports::Revision};

/// Enables or disables a revision for new campaigns. Running campaigns continue with it.
pub async fn enable(
    ctx: &Authorized<Publisher>,
    engine: &Engine,
    plugin: &str,
    digest: Digest,
    enabled: bool,
) -> Result<Revision> {
    if !engine
        .store()
        .enable_revision(ctx.tenant, plugin, digest, enabled)
        .await?
    {
        return Err(Error::not_found("plugin revision", digest));
    }
    super::revision(ctx, engine, plugin, digest).await
}
