use std::sync::Arc;

use tidegate_core::device::{AutoConfirm, Device};

use crate::{
    Engine, Result, devices,
    ports::{RecordError, Role},
    tenants::Actor,
};

/// Agrees to all updates of a device, those that wait and those that come, in the actor's name; durable when this
/// returns. Where somebody agrees already, that stays as it is.
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

/// Agrees to no later updates of a device, whoever agreed; those that were agreed to stay so.
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
