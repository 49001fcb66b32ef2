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
/// that is called back already stays so.
pub async fn cancel(
    engine: &Arc<Engine>,
    actor: &Actor,
    id: UpdateId,
    reason: &str,
) -> Result<UpdateRow> {
    actor.require(Role::Operator)?;
    let row = super::get(engine, actor, id).await?;
    if row.update.progress.status == UpdateStatus::Verifying {
        let message = "the device says that it has installed the update, and has yet to prove it: roll the device back \
                       instead";
        return Err(Error::conflict("update_installed", message));
    }
    let report = Report {
        tenant: actor.tenant,
        device: row.update.device,
        update: id,
        event: Event::CancelRequested,
        at: engine.now(),
    };
    let recorded = record_of(engine, actor.tenant, &row.device_id, |engine| async move {
        engine.store().record(report).await
    });
    match recorded.await {
        Ok(recorded) => {
            if recorded.moved {
                note(engine, actor, &row.update, "called back", reason).await;
            }
            super::get(engine, actor, id).await
        }
        Err(RecordError::Refused(Refusal::Closed)) => {
            let ended = super::get(engine, actor, id).await?;
            let status = ended.update.progress.status.as_str();
            let message = format!("the update is {status}: there is nothing to call back");
            Err(Error::conflict("update_ended", message))
        }
        Err(error) => Err(error.into()),
    }
}
