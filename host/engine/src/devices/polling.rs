use std::time::Duration;

use tidegate_core::polling::PollInterval;

use super::Caller;
use crate::{
    Engine, Result,
    caches::CachedOverride,
    ports::{PollView, Tenant},
};

/// How often a device polls.
pub(super) async fn poll_interval(
    engine: &Engine,
    tenant: &Tenant,
    caller: &Caller,
    view: &PollView,
) -> PollInterval {
    let own = view.polling_seconds;
    let own = own.map(|seconds| Duration::from_secs(u64::from(seconds)));
    let polling = &tenant.settings.polling;
    let matching = if own.is_some() || polling.overrides.is_empty() {
        None
    } else {
        // If the device cannot be read now, the default interval applies.
        matching_override(engine, tenant, caller)
            .await
            .unwrap_or_default()
    };
    polling.effective_interval(own, matching, engine.settings.polling)
}

/// The index of the polling override that matches the device. It is computed again only when the device or the settings
/// change, so polls read only memory.
async fn matching_override(
    engine: &Engine,
    tenant: &Tenant,
    caller: &Caller,
) -> Result<Option<usize>> {
    let (id, device_id) = (tenant.id, caller.device_id.as_str());
    let revision = tenant.settings_revision;
    if let Some(cached) = engine.caches.read_model.polling_override(id, device_id)
        && cached.revision == revision
    {
        return Ok(cached.index.map(usize::from));
    }
    let stamp = engine.caches.read_model.stamp(id, device_id);
    let device = caller
        .wait
        .bound(engine.store().device(id, device_id))
        .await?;
    let index = device.and_then(|device| tenant.settings.polling.matching_override(&device));
    let current = CachedOverride {
        revision,
        index: index.and_then(|index| u8::try_from(index).ok()),
    };
    engine.caches.read_model.insert_override(stamp, current);
    Ok(index)
}
