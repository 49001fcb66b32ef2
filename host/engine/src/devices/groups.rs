use std::sync::Arc;

use tidegate_core::{device::may_be_registered, id::TenantId};

use super::DeviceWait;
use crate::{
    Caches, Result,
    ports::{Store, StoreError},
};

/// The groups of a device, from the cache or the store, or as they were last known while the store cannot be read; `None`
/// if the device does not exist. Only gateways that are restricted to a group need them, so other tenants cache no
/// groups.
pub(super) async fn groups(
    store: &dyn Store,
    caches: &Caches,
    tenant: TenantId,
    device_id: &str,
    wait: &DeviceWait,
) -> Result<Option<Arc<[String]>>> {
    if let Some(groups) = caches.read_model.groups(tenant, device_id) {
        return Ok(Some(groups));
    }
    if !may_be_registered(device_id) {
        return Ok(None);
    }
    let stamp = caches.read_model.stamp(tenant, device_id);
    let reading = wait.bound(store.device_groups(tenant, device_id));
    let groups: Option<Arc<[String]>> = match reading.await {
        Ok(groups) => groups.map(Into::into),
        Err(error @ StoreError::Unavailable(_)) => {
            let known = caches.read_model.last_known_groups(tenant, device_id);
            return Ok(Some(known.ok_or(error)?));
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(groups) = &groups {
        caches.read_model.insert_groups(stamp, Arc::clone(groups));
    }
    Ok(groups)
}
