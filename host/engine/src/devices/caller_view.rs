use super::{
    Caller,
    authenticate::check_enrolment,
    poll_view::{poll_view, poll_view_or_idle},
};
use crate::{Engine, Result, ports::PollView};

/// The poll view of the caller's device. If the device was registered after the caller was authenticated as an unknown
/// device, the registration must match the caller.
pub(super) async fn caller_view(engine: &Engine, caller: &Caller) -> Result<Option<PollView>> {
    let view = poll_view(engine, caller.tenant, &caller.device_id, &caller.wait).await?;
    checked(engine, caller, view).await
}

/// Like [`caller_view`], for a poll: see [`poll_view_or_idle`].
pub(super) async fn caller_view_or_idle(
    engine: &Engine,
    caller: &Caller,
) -> Result<Option<PollView>> {
    let view = poll_view_or_idle(engine, caller.tenant, &caller.device_id, &caller.wait).await?;
    checked(engine, caller, view).await
}

/// Whether the caller's device exists.
pub async fn is_registered(caller: &Caller, engine: &Engine) -> Result<bool> {
    let view = poll_view_or_idle(engine, caller.tenant, &caller.device_id, &caller.wait).await?;
    Ok(view.is_some())
}

async fn checked(
    engine: &Engine,
    caller: &Caller,
    view: Option<PollView>,
) -> Result<Option<PollView>> {
    if let Some(view) = &view {
        check_enrolment(engine, caller, view).await?;
    }
    Ok(view)
}
