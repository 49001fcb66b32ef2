use std::sync::Arc;

use tidegate_core::device::{AutoConfirm, Device};

use crate::{
    Engine, Result, devices,
    ports::{RecordError, Role},
    tenants::Actor,
};

/// Activates auto-confirm for a device in the actor's name: waiting and later updates are confirmed. Durable when this
/// returns. If it is active already, nothing changes.
pub async fn activate_auto_confirm(
    engine: &Arc<Engine>,
    actor: &Actor,
    device_id: &str,
    remark: Option<String>,
) -> Result<Device> {
    actor.require(Role::Operator)?;
    let device = super::get(engine, actor, device_id).await?;
    let auto_confirm = AutoConfirm {
        initiator: Some(actor.user.clone()),
        remark,
        activated_at: engine.now(),
    };
    let recorded =
        devices::record_auto_confirm(engine, actor.tenant, device_id, device.key, auto_confirm);
    match recorded.await {
        Ok(()) | Err(RecordError::AlreadyActive) => {}
        Err(error) => return Err(error.into()),
    }
    super::get(engine, actor, device_id).await
}

/// Deactivates auto-confirm of a device, regardless of who activated it; confirmed updates stay confirmed.
pub async fn deactivate_auto_confirm(
    engine: &Engine,
    actor: &Actor,
    device_id: &str,
) -> Result<()> {
    actor.require(Role::Operator)?;
    let device = super::get(engine, actor, device_id).await?;
    let store = engine.store();
    let stopped = store.deactivate_auto_confirm(actor.tenant, device.key, engine.now());
    Ok(stopped.await?)
}
