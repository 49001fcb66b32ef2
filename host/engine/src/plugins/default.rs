use tidegate_core::{id::Digest, plugin::PluginName};

use crate::{
    Admin, Authorized, Error, Result,
    ports::{Revision, Store, StoreError},
};

/// Chooses the revision that new campaigns use if they name none. It has to be enabled. `None`: the highest release is used
/// again.
pub async fn choose_default(
    ctx: &Authorized<Admin>,
    store: &dyn Store,
    plugin: &PluginName,
    digest: Option<Digest>,
) -> Result<Vec<Revision>> {
    if let Some(digest) = digest {
        super::revision(ctx, store, plugin, digest).await?;
    }
    require_own_default(plugin)?;
    let chosen = store.choose_default_revision(ctx, plugin, digest).await;
    chosen.map_err(invalid_state)?;
    super::get(ctx, store, plugin).await
}

/// A conflict for a built-in plugin, whose default is the revision that was built with the server.
pub(super) fn require_own_default(plugin: &PluginName) -> Result<()> {
    if plugin.is_built_in() {
        let message = format!(
            "{plugin} is a built-in plugin: its default is the revision that was built with this server"
        );
        return Err(Error::conflict("built_in_plugin", message));
    }
    Ok(())
}

/// The error of a change that the state of a revision does not allow.
pub(super) fn invalid_state(error: StoreError) -> Error {
    match error {
        StoreError::Conflict(message) => Error::conflict("invalid_state", message),
        error => error.into(),
    }
}
