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
    Engine,
    ports::{PollView, RecordError, Tenant},
};

/// What a device is told of confirmations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmationBase {
    /// What a poll is answered from.
    pub view: PollView,
    /// Who agreed to everything beforehand, if anybody did.
    pub auto_confirm: Option<AutoConfirm>,
}

/// Answers what there is to confirm. It counts as a poll: a device that nobody has seen yet is registered, if whoever
/// speaks for it may do so.
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

/// Agrees to all updates of the device, those that wait and those that come; durable when this returns. A second time
/// is refused.
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
    record_auto_confirm(engine, tenant, &caller.device_id, device, auto_confirm).await
}

/// The same, whoever says so.
pub(crate) async fn record_auto_confirm(
    engine: &Arc<Engine>,
    tenant: TenantId,
    device_id: &str,
    device: DeviceKey,
    auto_confirm: AutoConfirm,
) -> Result<(), RecordError> {
    record_for_device(engine, tenant, device_id, |engine| async move {
        let store = engine.store();
        store
            .activate_auto_confirm(tenant, device, auto_confirm)
            .await
    })
    .await?;
    Ok(())
}

/// Agrees to no later updates; those that were agreed to stay so. Where nobody agrees, it does nothing.
pub async fn deactivate_auto_confirm(engine: &Engine, caller: &Caller) -> Result<(), RecordError> {
    let (device, now) = require_known_device(engine, caller).await?;
    let store = engine.store();
    store
        .deactivate_auto_confirm(caller.tenant, device, now)
        .await
}
