use tidegate_core::{device::check_device_id, id::TenantId};

use super::{Caller, authenticate::check_enrolled};
use crate::{Engine, Result, ports::PollView};

/// What is known of the device that a caller speaks for. Somebody else may have registered it since the caller was let in
/// as a device that nobody knew: then the caller must be the same.
pub(super) async fn known(engine: &Engine, caller: &Caller) -> Result<Option<PollView>> {
    let view = view(engine, caller.tenant, &caller.device_id).await?;
    if let Some(view) = &view {
        check_enrolled(engine, caller, view).await?;
    }
    Ok(view)
}

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
