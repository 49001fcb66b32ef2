use tidegate_core::{
    campaign::{MAX_POLICIES, PluginUse, Priority},
    firmware::Firmware,
    id::FirmwareId,
    plugin::FieldError,
    time::Timestamp,
    update::{SuccessCriteria, UpdateOptions},
};

use super::{bulk::check_device_ids, policies::choose_policies};
use crate::{
    Ctx, Engine, Error, Result,
    campaigns::{PluginChoice, check_options},
    ports::Offer,
};

/// An operator's request to update one or many devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateRequest {
    /// The firmware to install.
    pub firmware: FirmwareId,
    /// Its precedence over other updates. A security update gets at least `high`.
    pub priority: Priority,
    /// Ignore policies and pins, and install the firmware even if it is installed.
    pub force: bool,
    /// Whether beta firmware is allowed.
    pub allow_beta: bool,
    /// Type, timeouts, confirmation, window and retries. The total timeout is 5 to 1440 minutes.
    pub options: UpdateOptions,
    /// What counts as success.
    pub success_criteria: SuccessCriteria,
    /// The compatibility policies to check; `None`: the default policies.
    pub policies: Option<Vec<PluginChoice>>,
}

/// A request with the objects that it names.
pub(super) struct CheckedRequest {
    firmware: Option<Firmware>,
    policies: Vec<PluginUse>,
    pub(super) errors: Vec<FieldError>,
}

impl CheckedRequest {
    /// The firmware and the chosen policies, or all errors.
    pub(super) fn finish(self) -> Result<(Firmware, Vec<PluginUse>)> {
        match (self.firmware, &self.errors[..]) {
            (Some(firmware), []) => Ok((firmware, self.policies)),
            _ => Err(invalid(self.errors)),
        }
    }
}

/// The invalid fields of an update of these devices; `None`: of one device, which exists. Nothing is stored.
pub async fn validate(
    ctx: &Ctx,
    engine: &Engine,
    device_ids: Option<&[String]>,
    request: &UpdateRequest,
) -> Result<Vec<FieldError>> {
    let mut errors = request.check(ctx, engine).await?.errors;
    errors.extend(device_ids.and_then(check_device_ids));
    Ok(errors)
}

impl UpdateRequest {
    /// Validates everything except the devices, and reads the firmware and the policies.
    pub(super) async fn check(&self, ctx: &Ctx, engine: &Engine) -> Result<CheckedRequest> {
        let mut errors = self.validation_errors(ctx.now);
        let firmware = engine.store().firmware(ctx.tenant, self.firmware).await?;
        let firmware = firmware.filter(|firmware| firmware.deleted_at.is_none());
        let message = match &firmware {
            None => Some(format!("there is no firmware {}", self.firmware)),
            Some(firmware) if firmware.details.is_beta && !self.allow_beta => {
                Some("is a beta firmware: set `allow_beta` to install it".to_owned())
            }
            Some(_) => None,
        };
        errors.extend(message.map(|message| FieldError {
            path: "firmware".to_owned(),
            message,
        }));
        let policies = choose_policies(engine, ctx.tenant, self, &mut errors).await?;
        Ok(CheckedRequest {
            firmware,
            policies,
            errors,
        })
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
        rule(policies <= MAX_POLICIES, "policies", &message);
        errors
    }

    pub(super) fn offer(&self, ctx: &Ctx, firmware: &Firmware) -> Offer {
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
            now: ctx.now,
        }
    }
}

/// The error for an update with these invalid fields.
pub(super) fn invalid(errors: Vec<FieldError>) -> Error {
    Error::invalid_fields("invalid_update", errors)
}
