use tidegate_core::{id::Digest, plugin::PluginName};

use super::find_revision;
use crate::{
    Ctx, Error, PluginCalls, Result,
    ports::{Page, PageRequest, RejectedUpload, Revision, Store},
};

/// All revisions of all plugins, ordered by plugin name, newest first.
pub async fn list(ctx: &Ctx, store: &dyn Store) -> Result<Vec<Revision>> {
    Ok(store.revisions(ctx.tenant).await?)
}

/// The revisions of one plugin, newest first; at least one.
pub async fn get(ctx: &Ctx, store: &dyn Store, plugin: &PluginName) -> Result<Vec<Revision>> {
    let revisions = store.revisions_of(ctx.tenant, plugin).await?;
    if revisions.is_empty() {
        return Err(Error::not_found("plugin", plugin));
    }
    Ok(revisions)
}

/// One revision of a plugin.
pub async fn revision(
    ctx: &Ctx,
    store: &dyn Store,
    plugin: &PluginName,
    digest: Digest,
) -> Result<Revision> {
    let revision = store.revision(ctx.tenant, plugin, digest).await?;
    revision.ok_or_else(|| Error::not_found("plugin revision", digest))
}

/// A page of the uploads that were rejected, newest first.
pub async fn rejections(
    ctx: &Ctx,
    store: &dyn Store,
    page: PageRequest,
) -> Result<Page<RejectedUpload>> {
    Ok(store.list_rejections(ctx.tenant, page).await?)
}

/// The revision of a plugin that a campaign uses if it names none.
pub async fn default_revision(
    ctx: &Ctx,
    store: &dyn Store,
    plugins: &PluginCalls,
    plugin: &PluginName,
) -> Result<Option<Revision>> {
    find_revision(store, plugins.built_ins(), ctx.tenant, plugin, None).await
}
