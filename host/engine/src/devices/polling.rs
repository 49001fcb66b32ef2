use std::time::Duration;

use tidegate_core::polling::Rhythm;

use super::{Caller, read_model::Fitting};
use crate::{
    Engine, Result,
    ports::{PollView, Tenant},
};

/// How often a device is to poll.
pub(super) async fn rhythm(
    engine: &Engine,
    tenant: &Tenant,
    caller: &Caller,
    view: &PollView,
) -> Rhythm {
    let own = view.polling_seconds;
    let own = own.map(|seconds| Duration::from_secs(u64::from(seconds)));
    let polling = &tenant.settings.polling;
    let fitting = if own.is_some() || polling.overrides.is_empty() {
        None
    } else {
        // A device that cannot be looked at now is better told the usual than nothing.
        fitting(engine, tenant, caller).await.unwrap_or_default()
    };
    polling.rhythm(own, fitting, engine.settings.polling)
}

/// Which override fits a device. It is worked out once, and again when the device or the settings changed: polls read
/// nothing but memory.
async fn fitting(engine: &Engine, tenant: &Tenant, caller: &Caller) -> Result<Option<usize>> {
    let (id, device_id) = (tenant.id, caller.device_id.as_str());
    let revision = tenant.settings_revision;
    if let Some(known) = engine.read_model.fitting(id, device_id)
        && known.revision == revision
    {
        return Ok(known.place.map(usize::from));
    }
    let ticket = engine.read_model.ticket(id, device_id);
    let device = engine.store().device(id, device_id).await?;
    let place = device.and_then(|device| tenant.settings.polling.fitting(&device));
    let found = Fitting {
        revision,
        place: place.and_then(|place| u8::try_from(place).ok()),
    };
    engine.read_model.was_fitted(ticket, found);
    Ok(place)
}
