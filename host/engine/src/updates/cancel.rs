use tidegate_core::{
    Named as _,
    id::UpdateId,
    update::{EventError, UpdateEvent, UpdateStatus},
};

use crate::{
    Authorized, Error, Operator, Result, UpdateWriter,
    ports::{DeviceEvent, DeviceReport, RecordError, ReportActor, UpdateRow},
};

/// Cancels an update, with or without a campaign: the device gets a `cancelAction` and may reject it. Cancelling twice
/// changes nothing. `force` ends a cancelling update without its device; later feedback of the device is refused.
pub async fn cancel(
    ctx: &Authorized<Operator>,
    writer: &UpdateWriter,
    id: UpdateId,
    force: bool,
    reason: &str,
) -> Result<UpdateRow> {
    let row = super::get(ctx, writer.store(), id).await?;
    let state = &row.update.state;
    if state.status == UpdateStatus::Verifying && !state.awaits_version() {
        let message = "the device has reported the installation, which is being verified: roll the device back instead";
        return Err(Error::conflict("update_installed", message));
    }
    let (event, action) = if force {
        (UpdateEvent::ForceCancel, "force-cancelled")
    } else {
        (UpdateEvent::CancelRequested, "cancelled")
    };
    let report = DeviceReport {
        tenant: ctx.tenant,
        device: row.update.device,
        by: Some(ReportActor {
            ctx: (**ctx).clone(),
            reason: reason.to_owned(),
        }),
        read_at: None,
        at: ctx.now,
        event: DeviceEvent::Update(id, event),
    };
    match writer.report(&row.device_id, report).await {
        Ok(recorded) => {
            if recorded.changes_update {
                writer.note(ctx, &row.update, action, reason).await;
            }
            super::get(ctx, writer.store(), id).await
        }
        Err(RecordError::Refused(EventError::Closed)) => {
            let ended = super::get(ctx, writer.store(), id).await?;
            let status = ended.update.state.status.as_str();
            let message = format!("the update is {status} and cannot be cancelled");
            Err(Error::conflict("update_ended", message))
        }
        Err(RecordError::Refused(EventError::NotCancelling)) => {
            let message = "the update is not being cancelled: cancel it without `force` first";
            Err(Error::conflict("update_not_cancelling", message))
        }
        Err(error) => Err(error.into()),
    }
}
