use tidegate_core::{
    id::{Digest, TenantId},
    plugin::PluginName,
};

use crate::{
    BuiltIns, Result,
    ports::{Revision, Store},
};

/// The revision of this digest. Without one the revision that new campaigns and updates use: that of the built-in
/// plugin, or else the newest enabled one.
pub(crate) async fn find_revision(
    store: &dyn Store,
    built_ins: &BuiltIns,
    tenant: TenantId,
    plugin: &PluginName,
    digest: Option<Digest>,
) -> Result<Option<Revision>> {
    let is_chosen = digest.is_some();
    let digest = digest.or_else(|| built_ins.digest(plugin));
    if digest.is_none() && plugin.is_built_in() {
        return Ok(None);
    }
    let revision = store.revision(tenant, plugin, digest).await?;
    Ok(revision.filter(|revision| is_chosen || revision.enabled))
}
