use tidegate_core::device::Device;

use super::rules::Rules;
use crate::{
    Engine, Error, Result,
    ports::{MAX_LABELS, NewDevice, Role, StoreError},
    tenants::{Actor, draw, fingerprint},
};

/// A device that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The device.
    pub device: Device,
    /// What it authenticates with; told this once, for only its hash is stored.
    pub token: String,
}

/// Makes a device before it is first seen. Its token and the time of its making are not the caller's to choose.
pub async fn create(engine: &Engine, actor: &Actor, wanted: NewDevice) -> Result<Created> {
    actor.require(Role::Operator)?;
    check(&wanted)?;
    let token = draw(&*engine.ports.entropy, "");
    let device_id = wanted.device_id.clone();
    let device = NewDevice {
        token_sha256: Some(fingerprint(&token)),
        created_at: Some(engine.now()),
        ..wanted
    };
    match engine.store().create_device(actor.tenant, device).await {
        Ok(_) => {}
        Err(StoreError::Conflict(message)) => {
            return Err(Error::conflict("device_exists", message));
        }
        Err(error) => return Err(error.into()),
    }
    let device = super::get(engine, actor, &device_id).await?;
    Ok(Created { device, token })
}

fn check(wanted: &NewDevice) -> Result<()> {
    let mut rules = Rules::default();
    rules.device_id(&wanted.device_id);
    rules.name(&wanted.name);
    rules.groups(&wanted.groups);
    rules.attributes(&wanted.attributes);
    if let Some(feed) = &wanted.feed {
        rules.feed(feed);
    }
    if let Some(interval) = wanted.polling_interval {
        rules.polling_interval(interval);
    }
    for (key, value) in &wanted.labels {
        rules.label(key, Some(value));
    }
    if wanted.labels.len() > MAX_LABELS {
        rules.break_rule("/labels", format!("must be at most {MAX_LABELS}"));
    }
    rules.kept()
}
