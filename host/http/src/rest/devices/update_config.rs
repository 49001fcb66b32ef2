use serde::Deserialize;
use serde_json::Value;
use tidegate_core::{id::FirmwareId, plugin::FieldError};
use tidegate_engine::{Error, updates::UpdateRequest};
use utoipa::ToSchema;

use crate::rest::{
    campaigns::{PluginSelection, Priority},
    decode::Merged,
    update_options::WithUpdateOptions,
};

/// How a firmware is offered to a device.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct UpdateConfig {
    #[serde(default)]
    priority: Priority,
    /// Ignores compatibility policies and a pin, and reinstalls firmware that is already installed.
    #[serde(default)]
    force: bool,
    /// Allows beta firmware.
    #[serde(default)]
    allow_beta: bool,
    /// The compatibility policies to evaluate; `hardware` and `version-path` with their default configs when left out.
    policies: Option<Vec<PluginSelection>>,
    #[schema(ignore)]
    pre_update_commands: Option<Value>,
    #[schema(ignore)]
    post_update_commands: Option<Value>,
}

/// How a firmware is offered to a device, with the update options.
pub(crate) type UpdateConfigRequest = WithUpdateOptions<UpdateConfig>;

/// The update request for this firmware. Errors name fields by their path below `root`.
pub(super) fn into_request(
    Merged(config, options): UpdateConfigRequest,
    firmware: i64,
    root: &str,
) -> Result<UpdateRequest, Error> {
    let mut errors = Vec::new();
    for (field, commands) in [
        ("pre_update_commands", config.pre_update_commands.is_some()),
        (
            "post_update_commands",
            config.post_update_commands.is_some(),
        ),
    ] {
        if commands {
            errors.push(FieldError {
                path: format!("/{field}"),
                message: "is not supported: devices run no commands from the server; put them into the firmware"
                    .to_owned(),
            });
        }
    }
    let (options, success_criteria) = options.to_options(&mut errors);
    let mut to_choice = |(index, policy): (usize, PluginSelection)| {
        policy.into_choice(&format!("/policies/{index}"), &mut errors)
    };
    let policies = config.policies.map(|policies| {
        policies
            .into_iter()
            .enumerate()
            .map(&mut to_choice)
            .collect()
    });
    if !errors.is_empty() {
        for error in &mut errors {
            error.path.insert_str(0, root);
        }
        return Err(invalid_update(errors));
    }
    Ok(UpdateRequest {
        firmware: FirmwareId(firmware),
        priority: config.priority.into(),
        force: config.force,
        allow_beta: config.allow_beta,
        options,
        success_criteria,
        policies,
    })
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
