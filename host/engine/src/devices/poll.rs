use tidegate_core::device::check_device_id;

use super::{Caller, authenticate::check_enrolled, view::view};
use crate::{Engine, Error, Result, ports::PollView};

/// Answers a poll. A device that nobody has seen yet is registered, if whoever speaks for it may do so.
pub async fn poll(engine: &Engine, caller: &Caller) -> Result<PollView> {
    let known = view(engine, caller.tenant, &caller.device_id).await?;
    let view = match known {
        Some(view) if !view.is_unseen => view,
        Some(_) => register(engine, caller).await?,
        None if caller.may_register => register(engine, caller).await?,
        None => return Err(Error::not_found("device", &caller.device_id)),
    };
    engine.seen.note(caller.tenant, view.device, engine.now());
    Ok(view)
}

async fn register(engine: &Engine, caller: &Caller) -> Result<PollView> {
    let (tenant, device_id) = (caller.tenant, caller.device_id.as_str());
    check_device_id(device_id)
        .map_err(|error| Error::invalid("invalid_device_id", "/device_id", error.to_string()))?;
    let ticket = engine.read_model.ticket(tenant, device_id);
    let (store, enrolment) = (engine.store(), &caller.enrolment);
    let registered = store.enrol(tenant, device_id, enrolment, engine.now());
    let view = registered.await?;
    engine.read_model.was_changed(ticket, view.clone());
    check_enrolled(engine, caller, &view).await?;
    Ok(view)
}
