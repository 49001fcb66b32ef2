use crate::{
    Engine, Error, Result, devices,
    ports::{Role, RunRef},
    tenants::Actor,
};

/// Deletes a device and everything that belongs to it. Its open updates end as cancelled; campaigns keep its counts. If
/// it polls again and its caller may register it, it is a new device.
pub async fn delete(engine: &Engine, actor: &Actor, device_id: &str) -> Result<()> {
    actor.require(Role::Operator)?;
    let tenant = actor.tenant;
    let deleted = engine
        .store()
        .delete_device(tenant, device_id, engine.now())
        .await;
    // After a store error the result is unknown.
    devices::invalidate_device(engine, tenant, device_id);
    let campaigns = deleted?.ok_or_else(|| Error::not_found("device", device_id))?;
    for campaign in campaigns {
        engine.signals.wake_campaign(RunRef { tenant, campaign });
    }
    Ok(())
}
