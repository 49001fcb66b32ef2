use std::sync::Arc;

use tidegate_core::device::{AutoConfirm, Device};

use crate::{
    Authorized, Engine, Operator, Result, devices,
    ports::{RecordError, Store},
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
    let auto_confirm = AutoConfirm {
        initiator: Some(ctx.actor.name.to_string()),
        remark,
        activated_at: ctx.now,
    };
    let recorded = devices::record_auto_confirm(
        engine,
        ctx.tenant,
        device_id,
        device.key,
        auto_confirm,
        Some((**ctx).clone()),
    );
    match recorded.await {
        Ok(()) | Err(RecordError::AlreadyActive) => {}
        Err(error) => return Err(error.into()),
    }
    super::get(ctx, engine.store(), device_id).await
}

/// Deactivates auto-confirm of a device, regardless of who activated it; confirmed updates stay confirmed.
pub async fn deactivate_auto_confirm(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    device_id: &str,
) -> Result<()> {
    let device = super::get(ctx, store, device_id).await?;
    let stopped = store.deactivate_auto_confirm(ctx.tenant, device.key, ctx.now, Some(ctx));
    Ok(stopped.await?)
}
