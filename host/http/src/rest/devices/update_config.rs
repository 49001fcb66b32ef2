use serde::Deserialize;
use serde_json::Value;
use tidegate_core::{id::FirmwareId, plugin::FieldError, update::UpdateOptions};
use tidegate_engine::{Error, updates::UpdateRequest};
use utoipa::ToSchema;

use crate::rest::{
    campaigns::{
        OnDenied, PluginSelection, Priority, RetryForm, SuccessCriteria, UpdateOptionsForm,
        UpdateType,
    },
    window::WindowBody,
};

/// Options of an update.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = UpdateConfig)]
pub(crate) struct UpdateConfig {
    #[serde(default)]
    pub(super) priority: Priority,
    /// Ignores compatibility policies and a pin, and reinstalls firmware that is already installed.
    #[serde(default)]
    pub(super) force: bool,
    /// Allows beta firmware.
    #[serde(default)]
    pub(super) allow_beta: bool,
    /// From the offer to the end of the update, 5 to 1440; 60 when left out.
    pub(super) timeout_minutes: Option<u64>,
    /// How urgent it is; `forced` when left out.
    #[serde(default)]
    pub(super) update_type: UpdateType,
    /// With `time_forced`: RFC 3339.
    pub(super) forced_at: Option<String>,
    /// Whether the device's user must confirm the update before it begins.
    #[serde(default)]
    pub(super) requires_confirmation: bool,
    /// With `requires_confirmation`: `offer_again` when left out.
    pub(super) on_denied: Option<OnDenied>,
    /// With `requires_confirmation`: how long to wait for the confirmation, 5 to 43200; 10080, a week, when left out.
    pub(super) confirmation_timeout_minutes: Option<u64>,
    /// From the start of the download to its last byte, at most `timeout_minutes`.
    pub(super) download_timeout_minutes: Option<u64>,
    /// From the last byte until the device is done, at most `timeout_minutes`.
    pub(super) install_timeout_minutes: Option<u64>,
    /// When it may be installed; at any time when left out. Timeouts begin when the window opens.
    pub(super) maintenance_window: Option<WindowBody>,
    /// How often it is retried when the device fails or times out, 0 to 10; 0 when left out.
    pub(super) max_retries: Option<u32>,
    /// With `max_retries`: seconds before the first retry, 1 to 3600; 60 when left out. It doubles with each retry, up
    /// to an hour.
    pub(super) retry_delay: Option<u64>,
    #[serde(default)]
    pub(super) success_criteria: SuccessCriteria,
    /// With `soaked`: 1 to 43200.
    pub(super) soak_minutes: Option<u64>,
    /// The compatibility policies to evaluate; `hardware` and `version-path` with their default configs when left out.
    pub(super) policies: Option<Vec<PluginSelection>>,
    #[schema(ignore)]
    pub(super) pre_update_commands: Option<Value>,
    #[schema(ignore)]
    pub(super) post_update_commands: Option<Value>,
}

impl UpdateConfig {
    /// The update request for this firmware. Errors name fields by their path below `root`.
    pub(super) fn into_request(self, firmware: i64, root: &str) -> Result<UpdateRequest, Error> {
        let mut errors = Vec::new();
        for (field, commands) in [
            ("pre_update_commands", self.pre_update_commands.is_some()),
            ("post_update_commands", self.post_update_commands.is_some()),
        ] {
            if commands {
                errors.push(FieldError {
                    path: format!("{root}/{field}"),
                    message: "is not supported: devices run no commands from the server; put them into the firmware"
                        .to_owned(),
                });
            }
        }
        let options = self.options(root, &mut errors);
        let mut to_choice = |(index, policy): (usize, PluginSelection)| {
            policy.into_choice(&format!("{root}/policies/{index}"), &mut errors)
        };
        let policies = self.policies.map(|policies| {
            policies
                .into_iter()
                .enumerate()
                .map(&mut to_choice)
                .collect()
        });
        let soak = format!("{root}/soak_minutes");
        let success_criteria =
            self.success_criteria
                .to_criteria(self.soak_minutes, &soak, &mut errors);
        let (Some(options), Some(success_criteria), []) = (options, success_criteria, &errors[..])
        else {
            return Err(invalid_update(errors));
        };
        Ok(UpdateRequest {
            firmware: FirmwareId(firmware),
            priority: self.priority.into(),
            force: self.force,
            allow_beta: self.allow_beta,
            options,
            success_criteria,
            policies,
        })
    }

    fn options(&self, root: &str, errors: &mut Vec<FieldError>) -> Option<UpdateOptions> {
        let form = UpdateOptionsForm {
            update_type: self.update_type,
            forced_at: self.forced_at.clone(),
            requires_confirmation: self.requires_confirmation,
            on_denied: self.on_denied,
            timeout_minutes: self.timeout_minutes.unwrap_or(60),
            confirmation_timeout_minutes: self.confirmation_timeout_minutes,
            download_timeout_minutes: self.download_timeout_minutes,
            install_timeout_minutes: self.install_timeout_minutes,
            maintenance_window: self.maintenance_window.clone(),
            retries: RetryForm {
                max_retries: self.max_retries,
                retry_delay: self.retry_delay,
            },
        };
        let mut found = Vec::new();
        let options = form.to_options(&mut found);
        errors.extend(found.into_iter().map(|error| FieldError {
            path: format!("{root}{}", error.path),
            message: error.message,
        }));
        options
    }
}

fn invalid_update(errors: Vec<FieldError>) -> Error {
    let message = errors
        .first()
        .map(|first| format!("{}: {}", first.path, first.message));
    Error::Invalid {
        code: "invalid_update",
        message: message.unwrap_or_default(),
        errors,
    }
}
