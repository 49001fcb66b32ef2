use std::sync::Arc;

use super::{Caller, caller_view::caller_view, record::background_record, retrieval, window};
use crate::{
    Engine, Error, Result,
    ports::{DeviceEvent, DeviceUpdate, FeedbackRow, PollView, UpdateRow},
};
use tidegate_core::{
    firmware::Firmware,
    id::{DeviceKey, UpdateId},
    update::{UpdateEvent, UpdateStatus},
};

/// An update with what its device needs to install it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The update.
    pub update: Arc<DeviceUpdate>,
    /// Its firmware.
    pub firmware: Arc<Firmware>,
    /// Feedback with messages or a code, newest first by the device's own time.
    pub history: Vec<FeedbackRow>,
}

/// Describes an update to its device, with up to `history` feedback entries. An offered update becomes retrieved; an
/// ended one is only described. An update is not found while it is scheduled, waits for confirmation or its window, or
/// is cancelling, and after it was cancelled or rejected. The update that polls show is described from memory.
pub async fn deployment(
    caller: &Caller,
    engine: &Engine,
    id: UpdateId,
    history: u32,
) -> Result<Deployment> {
    let view = own_view(engine, caller).await?;
    let update = match view.open {
        Some(shown) if shown.id == id => is_visible(shown.status).then_some(shown),
        _ => {
            let row = own_update(engine, caller, view.device, id).await?;
            let is_visible =
                is_visible(row.update.state.status) && !row.update.state.awaits_version();
            is_visible.then(|| seen_by_device(&row))
        }
    };
    let update = update.filter(|update| !window::is_hidden(update, engine.now()));
    let update = update.ok_or_else(|| Error::not_found("update", id))?;
    let deployment = describe(caller, engine, update, history).await?;
    let update = &deployment.update;
    if update.status.awaits_retrieval(update.refusal) {
        if update.refusal.is_none() {
            retrieval::record_soon(engine, caller, view.device, id);
        } else {
            // The next refusal ends the update only if this retrieval was recorded before.
            let event = DeviceEvent::Update(id, UpdateEvent::Retrieved);
            let (writer, now) = (&engine.update_writer, engine.now());
            let recording = background_record(writer, caller, view.device, event, now);
            let recording = async {
                recording.await;
                Ok::<_, Error>(())
            };
            caller.wait.bound(recording).await?;
        }
    }
    Ok(deployment)
}

/// Describes an ended update, as [`deployment`] does, without changing it.
pub async fn installed_deployment(
    caller: &Caller,
    engine: &Engine,
    id: UpdateId,
    history: u32,
) -> Result<Deployment> {
    let view = own_view(engine, caller).await?;
    let row = own_update(engine, caller, view.device, id).await?;
    let status = row.update.state.status;
    if status.is_open() || !is_visible(status) {
        return Err(Error::not_found("installed update", id));
    }
    describe(caller, engine, seen_by_device(&row), history).await
}

/// Describes an update that waits for confirmation, as [`deployment`] does, without changing it.
pub async fn confirmation(
    caller: &Caller,
    engine: &Engine,
    id: UpdateId,
    history: u32,
) -> Result<Deployment> {
    let view = own_view(engine, caller).await?;
    let row = own_update(engine, caller, view.device, id).await?;
    if row.update.state.status != UpdateStatus::WaitingConfirmation {
        return Err(Error::not_found("update to confirm", id));
    }
    describe(caller, engine, seen_by_device(&row), history).await
}

/// Checks that this update of the device is being cancelled or is cancelled.
pub async fn check_cancel_action(caller: &Caller, engine: &Engine, id: UpdateId) -> Result<()> {
    let view = own_view(engine, caller).await?;
    let row = own_update(engine, caller, view.device, id).await?;
    match row.update.state.status {
        UpdateStatus::Cancelling | UpdateStatus::Cancelled => Ok(()),
        _ if row.update.state.awaits_version() => Ok(()),
        _ => Err(Error::not_found("cancelled update", id)),
    }
}

/// Whether the device may read an update of this status, unless its version is awaited.
fn is_visible(status: UpdateStatus) -> bool {
    !matches!(
        status,
        UpdateStatus::WaitingApproval
            | UpdateStatus::Scheduled
            | UpdateStatus::WaitingConfirmation
            | UpdateStatus::Cancelling
            | UpdateStatus::Cancelled
            | UpdateStatus::Rejected
    )
}

/// What polls of the device that requests this update show; notes it as seen now.
async fn own_view(engine: &Engine, caller: &Caller) -> Result<PollView> {
    let Some(view) = caller_view(engine, caller).await? else {
        return Err(Error::not_found("device", &caller.device_id));
    };
    engine
        .caches
        .last_seen
        .record(caller.last_seen(view.device, engine.now()));
    Ok(view)
}

/// The update of this id, if it belongs to this device.
async fn own_update(
    engine: &Engine,
    caller: &Caller,
    device: DeviceKey,
    id: UpdateId,
) -> Result<UpdateRow> {
    let reading = engine.store().update(caller.tenant, id);
    let row = caller.wait.bound(reading).await?;
    row.filter(|row| row.update.device == device)
        .ok_or_else(|| Error::not_found("update", id))
}

fn seen_by_device(row: &UpdateRow) -> Arc<DeviceUpdate> {
    Arc::new(DeviceUpdate::new(&row.update, row.revision))
}

async fn describe(
    caller: &Caller,
    engine: &Engine,
    update: Arc<DeviceUpdate>,
    history: u32,
) -> Result<Deployment> {
    let (tenant, id) = (caller.tenant, update.firmware);
    let reading = engine.caches.firmware.firmware(engine.store(), tenant, id);
    let firmware = caller.wait.bound(reading).await?;
    let firmware = firmware.ok_or_else(|| Error::not_found("firmware", id))?;
    let history = match history {
        0 => Vec::new(),
        limit => {
            let reading = engine.store().messages(tenant, update.id, limit);
            caller.wait.bound(reading).await?
        }
    };
    Ok(Deployment {
        update,
        firmware,
        history,
    })
}
