use crate::{
    Authorized, Caches, Error, Operator, Result, Signals,
    ports::{RunRef, Store},
};

/// Deletes a device and everything that belongs to it. Its open updates end as cancelled; campaigns keep its counts. If
/// it polls again and its caller may register it, it is a new device.
pub async fn delete(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    caches: &Caches,
    signals: &Signals,
    device_id: &str,
) -> Result<()> {
    let tenant = ctx.tenant;
    let deleted = store.delete_device(ctx, device_id, ctx.now).await;
    // After a store error the result is unknown.
    caches.invalidate_device(tenant, device_id);
    let campaigns = deleted?.ok_or_else(|| Error::not_found("device", device_id))?;
    for campaign in campaigns {
        signals.wake_campaign(RunRef { tenant, campaign });
    }
    Ok(())
}
