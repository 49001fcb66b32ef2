use tidegate_core::{device::Device, plugin::FieldError};

use super::validate::{DeviceValidator, INVALID};
use crate::{
    Authorized, Error, Operator, Result, fingerprint,
    ports::{Entropy, MAX_LABELS, NewDevice, Store, StoreError},
    rules::Rules,
    secret::{check_token, chosen_or_new},
};

/// A new device and its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceWithToken {
    /// The device.
    pub device: Device,
    /// Its token. Returned once: only its hash is stored.
    pub token: String,
}

/// Creates a device before it is first seen. Its creation time is set here, and its token, unless an administrator
/// chose one.
pub async fn create(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    entropy: &dyn Entropy,
    device: NewDevice,
    token: Option<String>,
) -> Result<DeviceWithToken> {
    Rules::from_iter(validate_new(&device, token.as_deref())).accept(INVALID)?;
    let token = chosen_or_new(ctx, entropy, token, "")?;
    let device_id = device.device_id.clone();
    let device = NewDevice {
        token_sha256: Some(fingerprint(&token)),
        created_at: Some(ctx.now),
        ..device
    };
    match store.create_device(ctx, device).await {
        Ok(_) => {}
        Err(StoreError::Conflict(message)) => {
            return Err(Error::conflict("device_exists", message));
        }
        Err(error) => return Err(error.into()),
    }
    let device = super::get_stored(ctx, store, &device_id).await?;
    Ok(DeviceWithToken { device, token })
}

/// The invalid fields of a device to be created.
pub fn validate_new(device: &NewDevice, token: Option<&str>) -> Vec<FieldError> {
    let mut validator = DeviceValidator::default();
    validator.device_id(&device.device_id);
    validator.name(&device.name);
    validator.groups(&device.groups);
    validator.attributes(&device.attributes);
    if let Some(feed) = &device.feed {
        validator.feed(feed);
    }
    if let Some(interval) = device.polling_interval {
        validator.polling_interval(interval);
    }
    for (key, value) in &device.labels {
        validator.label(key, Some(value));
    }
    let mut rules = validator.rules;
    let message = format!("must be at most {MAX_LABELS}");
    rules.require(device.labels.len() <= MAX_LABELS, "labels", &message);
    if let Some(token) = token {
        check_token(&mut rules, token);
    }
    rules.into_errors()
}
