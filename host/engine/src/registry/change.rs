use tidegate_core::{device::Device, plugin::FieldError};

use super::validate::{DeviceValidator, INVALID};
use crate::{
    Authorized, Caches, Error, Operator, Result, Signals,
    ports::{ChangeError, DeviceChange, RunRef, Store},
    rules::Rules,
};

/// Changes a device; fields that are `None` stay as they are. Campaigns that skipped the device consider it again. An
/// open update continues.
pub async fn change(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    caches: &Caches,
    signals: &Signals,
    device_id: &str,
    change: DeviceChange,
) -> Result<Device> {
    Rules::from_iter(validate_change(&change)).accept(INVALID)?;
    let tenant = ctx.tenant;
    let changed = store.change_device(ctx, device_id, change).await;
    let campaigns = changed.map_err(|error| change_error(error, device_id))?;
    caches.invalidate_device(tenant, device_id);
    for campaign in campaigns {
        signals.wake_campaign(RunRef { tenant, campaign });
    }
    super::get(ctx, store, caches, device_id).await
}

/// The invalid fields of a change.
pub fn validate_change(change: &DeviceChange) -> Vec<FieldError> {
    let mut validator = DeviceValidator::default();
    if let Some(name) = &change.name {
        validator.name(name);
    }
    if let Some(groups) = &change.groups {
        validator.groups(groups);
    }
    if let Some(Some(feed)) = &change.feed {
        validator.feed(feed);
    }
    if let Some(Some(interval)) = change.polling_interval {
        validator.polling_interval(interval);
    }
    for (key, value) in &change.labels {
        validator.label(key, value.as_deref());
    }
    validator.rules.into_errors()
}

fn change_error(error: ChangeError, device_id: &str) -> Error {
    match error {
        ChangeError::NotFound => Error::not_found("device", device_id),
        ChangeError::TooManyLabels => Error::invalid(INVALID, "labels", error.to_string()),
        ChangeError::Store(error) => error.into(),
    }
}
