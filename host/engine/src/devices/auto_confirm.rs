use tidegate_core::device::AutoConfirm;

use super::{Caller, poll::poll, record::record};
use crate::{
    Engine,
    ports::{DeviceEvent, PollView, RecordError, Tenant},
};

/// What a device sees of confirmations: its poll view and auto-confirm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmationState {
    /// The state that a poll shows.
    pub view: PollView,
    /// Who activated auto-confirm, if it is active.
    pub auto_confirm: Option<AutoConfirm>,
}

/// Answers `confirmationBase`. It counts as a poll: an unknown device is registered if the caller may register it.
pub async fn confirmation_base(
    caller: &Caller,
    engine: &Engine,
    tenant: &Tenant,
) -> crate::Result<ConfirmationState> {
    let view = poll(caller, engine, tenant).await?.view;
    let reading = engine.store().auto_confirm(caller.tenant, view.device);
    let auto_confirm = caller.wait.bound(reading).await?;
    Ok(ConfirmationState { view, auto_confirm })
}

/// Activates auto-confirm for the device: waiting and later updates are confirmed. Durable when this returns; an error
/// if it is active already.
pub async fn activate_auto_confirm(
    caller: &Caller,
    engine: &Engine,
    initiator: Option<String>,
    remark: Option<String>,
) -> Result<(), RecordError> {
    let event = DeviceEvent::AutoConfirmActivated { initiator, remark };
    record(engine, caller, event).await?;
    Ok(())
}

/// Deactivates auto-confirm; confirmed updates stay confirmed. Without auto-confirm it does nothing.
pub async fn deactivate_auto_confirm(caller: &Caller, engine: &Engine) -> Result<(), RecordError> {
    record(engine, caller, DeviceEvent::AutoConfirmDeactivated).await?;
    Ok(())
}
