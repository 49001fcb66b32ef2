use tidegate_core::{device::check_device_id, id::TenantId};

use crate::{Engine, Result, ports::PollView};

/// What is known of a device: from memory, else from the store.
pub(super) async fn view(
    engine: &Engine,
    tenant: TenantId,
    device_id: &str,
) -> Result<Option<PollView>> {
    if let Some(view) = engine.read_model.get(tenant, device_id) {
        return Ok(Some(view));
    }
    if check_device_id(device_id).is_err() {
        return Ok(None);
    }
    let ticket = engine.read_model.ticket(tenant, device_id);
    let view = engine.store().poll_view(tenant, device_id).await?;
    if let Some(view) = &view {
        engine.read_model.was_read(ticket, view.clone());
    }
    Ok(view)
}
