use tidegate_core::{device::check_device_id, id::TenantId};

use crate::{Engine, Result, ports::PollView};

/// The poll view of a device, from the read model or the store.
pub(super) async fn poll_view(
    engine: &Engine,
    tenant: TenantId,
    device_id: &str,
) -> Result<Option<PollView>> {
    if let Some(view) = engine.caches.read_model.get(tenant, device_id) {
        return Ok(Some(view));
    }
    if check_device_id(device_id).is_err() {
        return Ok(None);
    }
    let stamp = engine.caches.read_model.stamp(tenant, device_id);
    let view = engine.store().poll_view(tenant, device_id).await?;
    if let Some(view) = &view {
        engine.caches.read_model.insert_read(stamp, view.clone());
    }
    Ok(view)
}
