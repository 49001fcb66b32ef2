use std::sync::Arc;

use tidegate_core::{
    id::UpdateId,
    update::{Event, Refusal, UpdateStatus},
};

use super::log::note;
use crate::{
    Engine, Error, Result,
    devices::record_of,
    ports::{RecordError, Report, Role, UpdateRow},
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
    if row.update.progress.status == UpdateStatus::Verifying {
        let message = "the device says that it has installed the update, and has yet to prove it: roll the device back \
                       instead";
        return Err(Error::conflict("update_installed", message));
    }
    let (event, did) = if force {
        (Event::Quit, "ended without its device")
    } else {
        (Event::CancelRequested, "called back")
    };
    let report = Report {
        tenant: actor.tenant,
        device: row.update.device,
        update: id,
        event,
        at: engine.now(),
    };
    let recorded = record_of(engine, actor.tenant, &row.device_id, |engine| async move {
        engine.store().record(report).await
    });
    match recorded.await {
        Ok(recorded) => {
            if recorded.moved {
                note(engine, actor, &row.update, did, reason).await;
            }
            super::get(engine, actor, id).await
        }
        Err(RecordError::Refused(Refusal::Closed)) => {
            let ended = super::get(engine, actor, id).await?;
            let status = ended.update.progress.status.as_str();
            let message = format!("the update is {status}: there is nothing to call back");
            Err(Error::conflict("update_ended", message))
        }
        Err(RecordError::Refused(Refusal::NotCancelling)) => {
            let message = "nobody has called the update back: cancel it without `force` first";
            Err(Error::conflict("update_not_cancelling", message))
        }
        Err(error) => Err(error.into()),
    }
}
