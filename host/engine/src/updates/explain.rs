use tidegate_core::{device::Device, update::UpdateStatus};

use crate::{Engine, Error, Result, tenants::Actor};

/// What a device is told to do now, and what that waits for, for people. What campaigns made waits for its window as
/// they explain themselves.
pub async fn explain_open_update(
    engine: &Engine,
    actor: &Actor,
    device: &Device,
) -> Result<Option<String>> {
    let Some(id) = device.open_update else {
        return Ok(None);
    };
    // It may be gone by now.
    let row = match super::get(engine, actor, id).await {
        Err(Error::NotFound { .. }) => return Ok(None),
        row => row?,
    };
    let state = &row.update.state;
    Ok(match state.window_wait_reason(engine.now()) {
        Some(_) if row.update.campaign.is_some() => None,
        Some(why) => Some(format!("update {id} waits: {why}")),
        None if state.status == UpdateStatus::Cancelling => Some(format!(
            "update {id} is called back, and the device has not answered: it is offered nothing else before"
        )),
        None => Some(format!(
            "update {id} is what it is told to do now: it is {}",
            state.status.as_str()
        )),
    })
}
