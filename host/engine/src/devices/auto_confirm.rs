use std::sync::Arc;

use tidegate_core::{
    device::AutoConfirm,
    id::{DeviceKey, TenantId},
};

use super::{
    Caller,
    poll::poll,
    record::{record_for_device, require_known_device},
};
use crate::{
    Ctx, Engine,
    ports::{PollView, RecordError, Tenant},
};

/// The response of DDI's `confirmationBase`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmationBase {
    /// The state that a poll shows.
    pub view: PollView,
    /// Who activated auto-confirm, if it is active.
    pub auto_confirm: Option<AutoConfirm>,
}

/// Answers `confirmationBase`. It counts as a poll: an unknown device is registered if the caller may register it.
pub async fn confirmation_base(
    engine: &Engine,
    tenant: &Tenant,
    caller: &Caller,
) -> crate::Result<ConfirmationBase> {
    let view = poll(engine, tenant, caller).await?.view;
    let auto_confirm = engine
        .store()
        .auto_confirm(caller.tenant, view.device)
        .await?;
    Ok(ConfirmationBase { view, auto_confirm })
}

/// Activates auto-confirm for the device: waiting and later updates are confirmed. Durable when this returns; an error
/// if it is active already.
pub async fn activate_auto_confirm(
    engine: &Arc<Engine>,
    caller: &Caller,
    initiator: Option<String>,
    remark: Option<String>,
) -> Result<(), RecordError> {
    let tenant = caller.tenant;
    let (device, activated_at) = require_known_device(engine, caller).await?;
    let auto_confirm = AutoConfirm {
        initiator,
        remark,
        activated_at,
    };
    record_auto_confirm(
        engine,
        tenant,
        &caller.device_id,
        device,
        auto_confirm,
        None,
    )
    .await
}

/// Activates auto-confirm, for an actor or, without one, for the device itself.
pub(crate) async fn record_auto_confirm(
    engine: &Arc<Engine>,
    tenant: TenantId,
    device_id: &str,
    device: DeviceKey,
    auto_confirm: AutoConfirm,
    by: Option<Ctx>,
) -> Result<(), RecordError> {
    record_for_device(engine, tenant, device_id, |engine| async move {
        let store = engine.store();
        store
            .activate_auto_confirm(tenant, device, auto_confirm, by.as_ref())
            .await
    })
    .await?;
    Ok(())
}

/// Deactivates auto-confirm; confirmed updates stay confirmed. Without auto-confirm it does nothing.
pub async fn deactivate_auto_confirm(engine: &Engine, caller: &Caller) -> Result<(), RecordError> {
    let (device, now) = require_known_device(engine, caller).await?;
    let store = engine.store();
    store
        .deactivate_auto_confirm(caller.tenant, device, now, None)
        .await
}
