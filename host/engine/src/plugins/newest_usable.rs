use tidegate_core::id::TenantId;

use crate::{
    BuiltIns, Result,
    ports::{Revision, Store},
};

/// The revision that new campaigns and updates use if they name none: that of the built-in plugin, or else the newest
/// enabled one.
pub(crate) async fn newest_usable(
    store: &dyn Store,
    built_ins: &BuiltIns,
    tenant: TenantId,
    plugin: &str,
) -> Result<Option<Revision>> {
    let revision = store
        .revision(tenant, plugin, built_ins.digest(plugin))
        .await?;
    Ok(revision.filter(|revision| revision.enabled))
}
