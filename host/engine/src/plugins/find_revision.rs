use tidegate_core::{
    id::{Digest, TenantId},
    plugin::{PluginName, RevisionState, highest_release},
};

use crate::{
    BuiltIns, Error, Result,
    ports::{Revision, Store},
};

/// The revision of this digest. Without one the default: the revision that new campaigns and updates use.
pub(crate) async fn find_revision(
    store: &dyn Store,
    built_ins: &BuiltIns,
    tenant: TenantId,
    plugin: &PluginName,
    digest: Option<Digest>,
) -> Result<Option<Revision>> {
    if let Some(digest) = digest {
        return Ok(store.revision(tenant, plugin, digest).await?);
    }
    let revisions = store.revisions_of(tenant, plugin).await?;
    Ok(default_of(built_ins, plugin, &revisions).cloned())
}

/// The revision of this digest, of whatever plugin.
pub(crate) async fn revision_by_digest(
    store: &dyn Store,
    tenant: TenantId,
    digest: Digest,
) -> Result<Revision> {
    let all = store.revisions(tenant).await?;
    let found = all.into_iter().find(|other| other.stored.digest == digest);
    found.ok_or_else(|| Error::not_found("plugin revision", digest))
}

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
