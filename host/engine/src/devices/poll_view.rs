use tidegate_core::{device::may_be_registered, id::TenantId};

use super::DeviceWait;
use crate::{Engine, Error, Result, ports::PollView};

/// The poll view of a device, from the read model or the store.
pub(super) async fn poll_view(
    engine: &Engine,
    tenant: TenantId,
    device_id: &str,
    wait: &DeviceWait,
) -> Result<Option<PollView>> {
    if let Some(view) = engine.caches.read_model.get(tenant, device_id) {
        return Ok(Some(view));
    }
    if !may_be_registered(device_id) {
        return Ok(None);
    }
    let stamp = engine.caches.read_model.stamp(tenant, device_id);
    let reading = engine.store().poll_view(tenant, device_id);
    let view = wait.bound(reading).await?;
    if let Some(view) = &view {
        engine.caches.read_model.insert_read(stamp, view.clone());
    }
    Ok(view)
}

/// Like [`poll_view`]. While the store cannot be read, returns the outdated view of a device if it has nothing to do: the
/// device is told to come back, which is correct again with its next poll. Offers are not answered from outdated views.
pub(super) async fn poll_view_or_idle(
    engine: &Engine,
    tenant: TenantId,
    device_id: &str,
    wait: &DeviceWait,
) -> Result<Option<PollView>> {
    match poll_view(engine, tenant, device_id, wait).await {
        Err(error @ Error::Unavailable { .. }) => {
            let known = engine.caches.read_model.last_known(tenant, device_id);
            let idle = known.filter(|view| view.open.is_none() && !view.is_unseen);
            idle.map(Some).ok_or(error)
        }
        view => view,
    }
}
