use std::sync::Arc;

use tidegate_core::{
    id::UpdateId,
    update::{EventError, UpdateEvent, UpdateStatus},
};

use super::log::note;
use crate::{
    Engine, Error, Result,
    devices::record_for_device,
    ports::{RecordError, Role, UpdateReport, UpdateRow},
    tenants::Actor,
};

/// Calls an update back, of a campaign or not: the device sees a cancelAction, and goes on if it does not agree. One
/// that is called back already stays so. `force` ends one that is, without waiting for its device any longer; what the
/// device says of it from then on is refused.
pub async fn cancel(
    engine: &Arc<Engine>,
    actor: &Actor,
    id: UpdateId,
    force: bool,
    reason: &str,
) -> Result<UpdateRow> {
    actor.require(Role::Operator)?;
    let row = super::get(engine, actor, id).await?;
    if row.update.state.status == UpdateStatus::Verifying {
        let message = "the device says that it has installed the update, and has yet to prove it: roll the device back \
                       instead";
        return Err(Error::conflict("update_installed", message));
    }
    let (event, action) = if force {
        (UpdateEvent::ForceCancel, "ended without its device")
    } else {
        (UpdateEvent::CancelRequested, "called back")
    };
    let report = UpdateReport {
        tenant: actor.tenant,
        device: row.update.device,
        update: id,
        event,
        at: engine.now(),
    };
    let recorded = record_for_device(engine, actor.tenant, &row.device_id, |engine| async move {
        engine.store().record(report).await
    });
    match recorded.await {
        Ok(recorded) => {
            if recorded.changes_update {
                note(engine, actor, &row.update, action, reason).await;
            }
            super::get(engine, actor, id).await
        }
        Err(RecordError::Refused(EventError::Closed)) => {
            let ended = super::get(engine, actor, id).await?;
            let status = ended.update.state.status.as_str();
            let message = format!("the update is {status}: there is nothing to call back");
            Err(Error::conflict("update_ended", message))
        }
        Err(RecordError::Refused(EventError::NotCancelling)) => {
            let message = "nobody has called the update back: cancel it without `force` first";
            Err(Error::conflict("update_not_cancelling", message))
        }
        Err(error) => Err(error.into()),
    }
}
