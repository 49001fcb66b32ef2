use crate::{Authorized, Engine, Error, Operator, Result, devices, ports::RunRef};

/// Deletes a device and everything that belongs to it. Its open updates end as cancelled; campaigns keep its counts. If
/// it polls again and its caller may register it, it is a new device.
pub async fn delete(ctx: &Authorized<Operator>, engine: &Engine, device_id: &str) -> Result<()> {
    let tenant = ctx.tenant;
    let deleted = engine.store().delete_device(ctx, device_id, ctx.now).await;
    // After a store error the result is unknown.
    devices::invalidate_device(engine, tenant, device_id);
    let campaigns = deleted?.ok_or_else(|| Error::not_found("device", device_id))?;
    for campaign in campaigns {
        engine.signals.wake_campaign(RunRef { tenant, campaign });
    }
    Ok(())
}
