use std::sync::Arc;

use tidegate_core::device::Device;

use crate::{
    Authorized, Ctx, Engine, Operator, Result, devices,
    ports::{DeviceEvent, DeviceReport, RecordError, RecordedReport},
};

/// Activates auto-confirm for a device in the actor's name: waiting and later updates are confirmed. Durable when this
/// returns. If it is active already, nothing changes.
pub async fn activate_auto_confirm(
    ctx: &Authorized<Operator>,
    engine: &Arc<Engine>,
    device_id: &str,
    remark: Option<String>,
) -> Result<Device> {
    let device = super::get(ctx, engine.store(), device_id).await?;
    let event = DeviceEvent::AutoConfirmActivated {
        initiator: Some(ctx.actor.name.to_string()),
        remark,
    };
    match record(ctx, engine, &device, event).await {
        Ok(_) | Err(RecordError::AlreadyActive) => {}
        Err(error) => return Err(error.into()),
    }
    super::get(ctx, engine.store(), device_id).await
}

/// Deactivates auto-confirm of a device, regardless of who activated it; confirmed updates stay confirmed.
pub async fn deactivate_auto_confirm(
    ctx: &Authorized<Operator>,
    engine: &Arc<Engine>,
    device_id: &str,
) -> Result<()> {
    let device = super::get(ctx, engine.store(), device_id).await?;
    record(ctx, engine, &device, DeviceEvent::AutoConfirmDeactivated).await?;
    Ok(())
}

async fn record(
    ctx: &Ctx,
    engine: &Arc<Engine>,
    device: &Device,
    event: DeviceEvent,
) -> std::result::Result<RecordedReport, RecordError> {
    let report = DeviceReport {
        tenant: ctx.tenant,
        device: device.key,
        by: Some(ctx.clone()),
        at: ctx.now,
        event,
    };
    devices::record_report(engine, &device.device_id, report).await
}
