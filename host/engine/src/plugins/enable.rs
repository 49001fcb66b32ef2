use tidegate_core::{id::Digest, plugin::PluginName};

use crate::{
    Admin, Authorized, Result,
    ports::{Revision, Store},
};

/// Enables or disables a revision for new campaigns. Running campaigns continue with it. Only admins
/// may: a default policy that is disabled refuses every update that names no policies.
pub async fn enable(
    ctx: &Authorized<Admin>,
    store: &dyn Store,
    plugin: &PluginName,
    digest: Digest,
    enabled: bool,
) -> Result<Revision> {
    store.enable_revision(ctx, plugin, digest, enabled).await?;
    super::revision(ctx, store, plugin, digest).await
}
