use tidegate_core::id::Digest;

use crate::{
    Engine, Error, Result,
    ports::{Revision, Role},
    tenants::Actor,
};

/// All revisions of all plugins, ordered by plugin name, newest first.
pub async fn list(engine: &Engine, actor: &Actor) -> Result<Vec<Revision>> {
    actor.require(Role::Viewer)?;
    Ok(engine.store().revisions(actor.tenant).await?)
}

/// The revisions of one plugin, newest first; at least one.
pub async fn get(engine: &Engine, actor: &Actor, plugin: &str) -> Result<Vec<Revision>> {
    let mut revisions = list(engine, actor).await?;
    revisions.retain(|revision| revision.stored.description.name == plugin);
    if revisions.is_empty() {
        return Err(Error::not_found("plugin", plugin));
    }
    Ok(revisions)
}

/// One revision of a plugin.
pub async fn revision(
    engine: &Engine,
    actor: &Actor,
    plugin: &str,
    digest: Digest,
) -> Result<Revision> {
    actor.require(Role::Viewer)?;
    let revision = engine
        .store()
        .revision(actor.tenant, plugin, Some(digest))
        .await?;
    revision.ok_or_else(|| Error::not_found("plugin revision", digest))
}
