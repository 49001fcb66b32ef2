use tidegate_core::{
    id::Digest,
    plugin::{PluginName, RevisionState, highest_release},
};

use crate::{
    Admin, Authorized, BuiltIns, Error, Result,
    ports::{Revision, Store, StoreError},
};

/// The revision that a campaign uses if it names none, among all revisions of a plugin, newest first: of a built-in plugin
/// the one that was built with this server; else the one that an administrator chose, or the highest release. `None` if
/// that is not enabled.
pub fn default_of<'a>(
    built_ins: &BuiltIns,
    plugin: &PluginName,
    revisions: &'a [Revision],
) -> Option<&'a Revision> {
    let enabled = || {
        let revisions = revisions.iter();
        revisions.filter(|revision| revision.state == RevisionState::Enabled)
    };
    if plugin.is_built_in() {
        let built_in = built_ins.digest(plugin)?;
        return enabled().find(|revision| revision.stored.digest == built_in);
    }
    if revisions.iter().any(|revision| revision.is_chosen_default) {
        return enabled().find(|revision| revision.is_chosen_default);
    }
    highest_release(enabled().map(|revision| (&*revision.stored.description.version, revision)))
}

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
    chosen.map_err(|error| match error {
        StoreError::Conflict(message) => Error::conflict("invalid_state", message),
        error => error.into(),
    })?;
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
