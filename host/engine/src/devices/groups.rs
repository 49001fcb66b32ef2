use std::sync::Arc;

use tidegate_core::{device::check_device_id, id::TenantId};

use crate::{Engine, Result, ports::StoreError};

/// The groups of a device, from the cache or the store, or as they were last known while the store cannot be read; `None` if the device does not exist. Only gateways that are
/// restricted to a group need them, so other tenants cache no groups.
pub(super) async fn groups(
    engine: &Engine,
    tenant: TenantId,
    device_id: &str,
) -> Result<Option<Arc<[String]>>> {
    if let Some(groups) = engine.caches.read_model.groups(tenant, device_id) {
        return Ok(Some(groups));
    }
    if check_device_id(device_id).is_err() {
        return Ok(None);
    }
    let stamp = engine.caches.read_model.stamp(tenant, device_id);
    let groups: Option<Arc<[String]>> = match engine.store().device_groups(tenant, device_id).await
    {
        Ok(groups) => groups.map(Into::into),
        Err(error @ StoreError::Unavailable(_)) => {
            let known = engine
                .caches
                .read_model
                .last_known_groups(tenant, device_id);
            return Ok(Some(known.ok_or(error)?));
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(groups) = &groups {
        engine
            .caches
            .read_model
            .insert_groups(stamp, Arc::clone(groups));
    }
    Ok(groups)
}
