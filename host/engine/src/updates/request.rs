use tidegate_core::{
    campaign::{MAX_POLICIES, Priority},
    firmware::Firmware,
    id::FirmwareId,
    plugin::FieldError,
    time::Timestamp,
    update::{SuccessCriteria, UpdateOptions},
};

use crate::{
    Engine, Error, Result,
    campaigns::{PluginChoice, check_options},
    ports::Offer,
    tenants::Actor,
};

/// What an operator asks for, for a device or for many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateRequest {
    /// What to install.
    pub firmware: FirmwareId,
    /// Before which other updates it goes. A security update is at least high.
    pub priority: Priority,
    /// Whether to go past what policies say and past a pin, and to install again what is installed.
    pub force: bool,
    /// Whether beta firmware is meant.
    pub allow_beta: bool,
    /// How it is put to the devices. The whole of it has 5 to 1440 minutes.
    pub options: UpdateOptions,
    /// What counts as success.
    pub success_criteria: SuccessCriteria,
    /// The compatibility policies that are asked; none: those that come with the host, each with its defaults.
    pub policies: Option<Vec<PluginChoice>>,
}

impl UpdateRequest {
    /// Checks everything about it but its devices and policies.
    pub(super) async fn firmware(&self, engine: &Engine, actor: &Actor) -> Result<Firmware> {
        let mut errors = self.validation_errors(engine.now());
        let firmware = engine.store().firmware(actor.tenant, self.firmware).await?;
        let firmware = firmware.filter(|firmware| firmware.deleted_at.is_none());
        let message = match &firmware {
            None => Some(format!("there is no firmware {}", self.firmware)),
            Some(firmware) if firmware.details.is_beta && !self.allow_beta => {
                Some("is a beta firmware: set allow_beta to install it".to_owned())
            }
            Some(_) => None,
        };
        errors.extend(message.map(|message| FieldError {
            path: "/firmware_id".to_owned(),
            message,
        }));
        match (firmware, &errors[..]) {
            (Some(firmware), []) => Ok(firmware),
            _ => Err(invalid(errors)),
        }
    }

    fn validation_errors(&self, now: Timestamp) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut rule = |good: bool, path: &str, message: &str| {
            if !good {
                errors.push(FieldError {
                    path: path.to_owned(),
                    message: message.to_owned(),
                });
            }
        };
        check_options(&self.options, self.success_criteria, now, &mut rule);
        let policies = self.policies.as_ref().map_or(0, Vec::len);
        let message = format!("must be at most {MAX_POLICIES}");
        rule(policies <= MAX_POLICIES, "/policies", &message);
        errors
    }

    pub(super) fn offer(&self, engine: &Engine, firmware: &Firmware) -> Offer {
        let lifted = firmware.details.is_security_update && self.priority < Priority::High;
        let priority = if lifted {
            Priority::High
        } else {
            self.priority
        };
        Offer {
            firmware: self.firmware,
            to_version: firmware.details.version.clone(),
            weight: priority.weight(),
            success_criteria: self.success_criteria,
            options: self.options.clone(),
            now: engine.now(),
        }
    }
}

/// 422 for an update that breaks these rules.
pub(super) fn invalid(errors: Vec<FieldError>) -> Error {
    let message = match &errors[..] {
        [one] => format!("{}: {}", one.path, one.message),
        many => format!(
            "{} fields of the update are not as they must be",
            many.len()
        ),
    };
    Error::Invalid {
        code: "invalid_update",
        message,
        errors,
    }
}
