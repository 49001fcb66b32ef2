use std::collections::BTreeMap;

use tidegate_core::{
    device::{Device, MAX_ATTRIBUTE_CHARS, MAX_ATTRIBUTES, check_device_id},
    plugin::FieldError,
};

use crate::{
    Engine, Error, Result,
    ports::{NewDevice, Role, StoreError},
    tenants::{Actor, draw, fingerprint},
};

/// Most groups of a device.
const MAX_GROUPS: usize = 50;

/// A device that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The device.
    pub device: Device,
    /// What it authenticates with; told this once, for only its hash is stored.
    pub token: String,
}

/// Makes a device before it is first seen.
pub async fn create(
    engine: &Engine,
    actor: &Actor,
    device_id: String,
    name: String,
    groups: Vec<String>,
    attributes: BTreeMap<String, String>,
) -> Result<Created> {
    actor.require(Role::Operator)?;
    check(&device_id, &name, &groups, &attributes)?;
    let token = draw(&*engine.ports.entropy, "");
    let device = NewDevice {
        device_id: device_id.clone(),
        name,
        groups,
        attributes,
        token_sha256: Some(fingerprint(&token)),
        created_at: Some(engine.now()),
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

fn check(
    device_id: &str,
    name: &str,
    groups: &[String],
    attributes: &BTreeMap<String, String>,
) -> Result<()> {
    let mut errors = Vec::new();
    let mut rule = |good: bool, path: &str, message: String| {
        if !good {
            errors.push(FieldError {
                path: path.to_owned(),
                message,
            });
        }
    };
    if let Err(error) = check_device_id(device_id) {
        rule(false, "/device_id", error.to_string());
    }
    let is_short = |text: &str, most: usize| text.chars().count() <= most;
    rule(
        is_short(name, 200),
        "/name",
        "must have at most 200 characters".to_owned(),
    );
    let message = format!("must be at most {MAX_GROUPS}");
    rule(groups.len() <= MAX_GROUPS, "/groups", message);
    let is_group = |group: &String| !group.is_empty() && is_short(group, 100);
    let message = "each must have 1 to 100 characters".to_owned();
    rule(groups.iter().all(is_group), "/groups", message);
    let message = format!("must be at most {MAX_ATTRIBUTES}");
    rule(attributes.len() <= MAX_ATTRIBUTES, "/attributes", message);
    let fits = |(key, value): (&String, &String)| {
        !key.is_empty()
            && is_short(key, MAX_ATTRIBUTE_CHARS)
            && is_short(value, MAX_ATTRIBUTE_CHARS)
    };
    let message = format!(
        "keys must have 1 to {MAX_ATTRIBUTE_CHARS} characters, values at most {MAX_ATTRIBUTE_CHARS}"
    );
    rule(attributes.iter().all(fits), "/attributes", message);
    if errors.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} fields of the device are not as they must be",
        errors.len()
    );
    Err(Error::Invalid {
        code: "invalid_device",
        message,
        errors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broken_rule_is_named() {
        let long = "x".repeat(129);
        let error = check(
            "a b",
            &"x".repeat(201),
            &[String::new()],
            &BTreeMap::from([("site".to_owned(), long)]),
        );
        let Err(Error::Invalid { errors, .. }) = error else {
            panic!("the device breaks rules: {error:?}");
        };
        let paths: Vec<_> = errors.iter().map(|error| &*error.path).collect();
        assert_eq!(paths, ["/device_id", "/name", "/groups", "/attributes"]);
        assert!(check(&"ä".repeat(256), "", &[], &BTreeMap::new()).is_ok());
    }
}
