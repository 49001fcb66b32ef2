use tidegate_core::{
    id::{Digest, TenantId},
    plugin::PluginName,
};

use super::default_of;
use crate::{
    BuiltIns, Result,
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
