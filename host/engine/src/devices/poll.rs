use std::time::Duration;

use tidegate_core::device::check_device_id;

use super::{
    Caller, authenticate::check_enrolment, caller_view::caller_view_or_idle,
    fetch::repeat_lost_completion, polling, window,
};
use crate::{
    Engine, Error, Result,
    ports::{PollView, Tenant},
};

/// The response to a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollResponse {
    /// What the device has to do now.
    pub view: PollView,
    /// When the device polls again: whole seconds, less than a day.
    pub sleep: Duration,
}

/// Answers a poll. An unknown device is registered if the caller may register it.
pub async fn poll(caller: &Caller, engine: &Engine, tenant: &Tenant) -> Result<PollResponse> {
    let view = match caller_view_or_idle(engine, caller).await? {
        Some(view) if !view.is_unseen => view,
        Some(_) => register(engine, caller).await?,
        None if caller.may_register => {
            check_device_id(&caller.device_id).map_err(|error| {
                Error::invalid("invalid_device_id", "device_id", error.to_string())
            })?;
            register(engine, caller).await?
        }
        None => return Err(Error::not_found("device", &caller.device_id)),
    };
    let now = engine.now();
    engine
        .caches
        .last_seen
        .record(caller.last_seen(view.device, now));
    repeat_lost_completion(engine, caller, &view);
    let mut interval = polling::poll_interval(engine, tenant, caller, &view).await;
    let (view, opening) = window::apply_window(view, now);
    if let Some(opening) = opening {
        interval = interval.shortened_until(opening, now);
    }
    let sleep = interval.with_jitter(view.device, now);
    Ok(PollResponse { view, sleep })
}

async fn register(engine: &Engine, caller: &Caller) -> Result<PollView> {
    let (tenant, device_id) = (caller.tenant, caller.device_id.as_str());
    let stamp = engine.caches.read_model.stamp(tenant, device_id);
    let (store, enrolment) = (engine.store(), &caller.enrolment);
    let registered = store.enrol(tenant, device_id, enrolment, engine.now());
    let view = caller.wait.bound(registered).await?;
    engine
        .caches
        .read_model
        .insert_changed(stamp, view.clone(), true);
    check_enrolment(engine, caller, &view).await?;
    Ok(view)
}
