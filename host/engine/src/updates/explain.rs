use tidegate_core::{Named as _, device::Device, update::UpdateStatus};

use crate::{Ctx, Error, Result, ports::Store};

/// Explains, in a sentence, a device's open update and what it waits for. For an update of a campaign the campaign's
/// explanation covers the window.
pub async fn explain_open_update(
    ctx: &Ctx,
    store: &dyn Store,
    device: &Device,
) -> Result<Option<String>> {
    let Some(id) = device.open_update else {
        return Ok(None);
    };
    // It may have been deleted meanwhile.
    let row = match super::get(ctx, store, id).await {
        Err(Error::NotFound { .. }) => return Ok(None),
        row => row?,
    };
    let state = &row.update.state;
    Ok(match state.window_wait_reason(ctx.now) {
        Some(_) if row.update.campaign.is_some() => None,
        Some(why) => Some(format!("update {id} waits: {why}")),
        None if state.status == UpdateStatus::Cancelling => Some(format!(
            "update {id} is being cancelled and the device has not answered: until then it is offered nothing else"
        )),
        None => Some(format!(
            "its current update is {id}: it is {}",
            state.status.as_str()
        )),
    })
}
