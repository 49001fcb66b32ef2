use std::sync::Arc;

use super::{Caller, caller_view::caller_view, record::background_record, retrieval};
use crate::{
    Engine, Error, Result,
    ports::{DeviceEvent, FeedbackRow, PollView, UpdateRow},
};
use tidegate_core::{
    firmware::Firmware,
    id::UpdateId,
    update::{UpdateEvent, UpdateState, UpdateStatus},
};

/// An update as its device sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The update.
    pub update: UpdateRow,
    /// Its firmware.
    pub firmware: Arc<Firmware>,
    /// Feedback with messages or a code, newest first by the device's own time.
    pub history: Vec<FeedbackRow>,
}

/// Describes an update to its device, with up to `history` feedback entries. An offered update becomes retrieved; an
/// ended one is only described. An update is not found while it is scheduled, waits for confirmation or its window, or
/// is cancelling, and after it was cancelled or rejected.
pub async fn deployment(
    caller: &Caller,
    engine: &Engine,
    id: UpdateId,
    history: u32,
) -> Result<Deployment> {
    let (view, row) = own_update(engine, caller, id).await?;
    if !is_visible(&row.update.state) || row.update.state.is_waiting_for_window(engine.now()) {
        return Err(Error::not_found("update", id));
    }
    let deployment = describe(caller, engine, row, history).await?;
    let state = &deployment.update.update.state;
    if state.awaits_retrieval() {
        if state.refusal.is_none() {
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
    let (_, row) = own_update(engine, caller, id).await?;
    let state = &row.update.state;
    if state.status.is_open() || !is_visible(state) {
        return Err(Error::not_found("installed update", id));
    }
    describe(caller, engine, row, history).await
}

/// Describes an update that waits for confirmation, as [`deployment`] does, without changing it.
pub async fn confirmation(
    caller: &Caller,
    engine: &Engine,
    id: UpdateId,
    history: u32,
) -> Result<Deployment> {
    let (_, row) = own_update(engine, caller, id).await?;
    if row.update.state.status != UpdateStatus::WaitingConfirmation {
        return Err(Error::not_found("update to confirm", id));
    }
    describe(caller, engine, row, history).await
}

/// Checks that this update of the device is being cancelled or is cancelled.
pub async fn check_cancel_action(caller: &Caller, engine: &Engine, id: UpdateId) -> Result<()> {
    let (_, row) = own_update(engine, caller, id).await?;
    match row.update.state.status {
        UpdateStatus::Cancelling | UpdateStatus::Cancelled => Ok(()),
        _ if row.update.state.awaits_version() => Ok(()),
        _ => Err(Error::not_found("cancelled update", id)),
    }
}

/// Whether the device may read the update in this state.
fn is_visible(state: &UpdateState) -> bool {
    let is_hidden = matches!(
        state.status,
        UpdateStatus::WaitingApproval
            | UpdateStatus::Scheduled
            | UpdateStatus::WaitingConfirmation
            | UpdateStatus::Cancelling
            | UpdateStatus::Cancelled
            | UpdateStatus::Rejected
    );
    !is_hidden && !state.awaits_version()
}

/// The update of this id, if it belongs to this device.
async fn own_update(
    engine: &Engine,
    caller: &Caller,
    id: UpdateId,
) -> Result<(PollView, UpdateRow)> {
    let Some(view) = caller_view(engine, caller).await? else {
        return Err(Error::not_found("device", &caller.device_id));
    };
    engine
        .caches
        .last_seen
        .record(caller.last_seen(view.device, engine.now()));
    let row = caller
        .wait
        .bound(engine.store().update(caller.tenant, id))
        .await?;
    row.filter(|row| row.update.device == view.device)
        .map(|row| (view, row))
        .ok_or_else(|| Error::not_found("update", id))
}

async fn describe(
    caller: &Caller,
    engine: &Engine,
    update: UpdateRow,
    history: u32,
) -> Result<Deployment> {
    let (tenant, id) = (update.update.tenant, update.update.firmware);
    let reading = engine.caches.firmware.firmware(engine.store(), tenant, id);
    let firmware = caller.wait.bound(reading).await?;
    let firmware = firmware.ok_or_else(|| Error::not_found("firmware", id))?;
    let history = match history {
        0 => Vec::new(),
        limit => {
            let reading = engine.store().messages(tenant, update.update.id, limit);
            caller.wait.bound(reading).await?
        }
    };
    Ok(Deployment {
        update,
        firmware,
        history,
    })
}
