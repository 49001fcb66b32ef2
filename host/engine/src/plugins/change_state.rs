use tidegate_core::{
    id::Digest,
    plugin::{PluginName, RevisionState},
};

use crate::{
    Admin, Authorized, Result,
    ports::{Revision, Store},
};

/// Enables, deprecates or disables a revision for new campaigns. Running campaigns continue with it. Only admins may: a
/// default policy that is disabled refuses every update that names no policies.
pub async fn change_state(
    ctx: &Authorized<Admin>,
    store: &dyn Store,
    plugin: &PluginName,
    digest: Digest,
    state: RevisionState,
) -> Result<Revision> {
    super::revision(ctx, store, plugin, digest).await?;
    if state == RevisionState::Deprecated {
        super::require_own_default(plugin)?;
    }
    let changed = store
        .change_revision_state(ctx, plugin, digest, state)
        .await;
    changed.map_err(super::invalid_state)?;
    super::revision(ctx, store, plugin, digest).await
}
