use tidegate_core::device::Device;

use crate::{
    Authorized, Caches, Ctx, Operator, Result, UpdateWriter,
    ports::{DeviceEvent, DeviceReport, RecordError, RecordedReport, ReportActor},
};

/// Activates auto-confirm for a device in the actor's name: waiting and later updates are confirmed. Durable when this
/// returns. If it is active already, nothing changes.
pub async fn activate_auto_confirm(
    ctx: &Authorized<Operator>,
    writer: &UpdateWriter,
    caches: &Caches,
    device_id: &str,
    remark: Option<String>,
) -> Result<Device> {
    let device = super::get_stored(ctx, writer.store(), device_id).await?;
    let event = DeviceEvent::AutoConfirmActivated {
        initiator: Some(ctx.actor.name.to_string()),
        remark,
    };
    match record(ctx, writer, &device, event).await {
        Ok(_) | Err(RecordError::AlreadyActive) => {}
        Err(error) => return Err(error.into()),
    }
    super::get(ctx, writer.store(), caches, device_id).await
}

/// Deactivates auto-confirm of a device, regardless of who activated it; confirmed updates stay confirmed.
pub async fn deactivate_auto_confirm(
    ctx: &Authorized<Operator>,
    writer: &UpdateWriter,
    device_id: &str,
) -> Result<()> {
    let device = super::get_stored(ctx, writer.store(), device_id).await?;
    record(ctx, writer, &device, DeviceEvent::AutoConfirmDeactivated).await?;
    Ok(())
}

async fn record(
    ctx: &Ctx,
    writer: &UpdateWriter,
    device: &Device,
    event: DeviceEvent,
) -> std::result::Result<RecordedReport, RecordError> {
    let report = DeviceReport {
        tenant: ctx.tenant,
        device: device.key,
        by: Some(ReportActor {
            ctx: ctx.clone(),
            reason: String::new(),
        }),
        read_at: None,
        at: ctx.now,
        event,
    };
    writer.report(&device.device_id, report).await
}
