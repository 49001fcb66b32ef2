use serde::Deserialize;
use serde_json::Value;
use tidegate_core::{id::FirmwareId, plugin::FieldError};
use tidegate_engine::updates::{self, UpdateRequest};
use utoipa::ToSchema;

use crate::{
    field_names::to_request_fields,
    problem::{Problem, Result},
    rest::{
        enum_field::PriorityField,
        from_json::BodyPair,
        rules::{RuleContext, add_errors},
        shared::{
            PluginSelection,
            update_options::{self, WithUpdateOptions},
        },
    },
};

/// How a firmware is offered to a device.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct UpdateConfig {
    #[serde(default)]
    priority: PriorityField,
    /// Ignores compatibility policies and a pin, and reinstalls firmware that is already installed.
    #[serde(default)]
    force: bool,
    /// Allows beta firmware.
    #[serde(default)]
    allow_beta: bool,
    /// The compatibility policies to evaluate; `hardware` and `version-path` with their default configs when left out or
    /// empty. Only `force` leaves the check out.
    policies: Option<Vec<PluginSelection>>,
    #[schema(ignore)]
    pre_update_commands: Option<Value>,
    #[schema(ignore)]
    post_update_commands: Option<Value>,
}

/// How a firmware is offered to a device, with the update options.
pub(crate) type UpdateConfigRequest = WithUpdateOptions<UpdateConfig>;

/// The update request for this firmware, and the invalid fields. Those have placeholders.
fn convert(
    BodyPair(config, options): UpdateConfigRequest,
    firmware: i64,
) -> (UpdateRequest, Vec<FieldError>) {
    let mut errors = Vec::new();
    for (field, is_given) in [
        ("/pre_update_commands", config.pre_update_commands.is_some()),
        (
            "/post_update_commands",
            config.post_update_commands.is_some(),
        ),
    ] {
        if is_given {
            errors.push(FieldError {
                path: field.to_owned(),
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
    let request = UpdateRequest {
        firmware: FirmwareId(firmware),
        priority: config.priority.0,
        force: config.force,
        allow_beta: config.allow_beta,
        options,
        success_criteria,
        policies,
    };
    (request, errors)
}

/// The update request for this firmware, or all errors. The options are below `root`; `device_ids` are the devices of
/// a bulk update.
pub(super) async fn into_request(
    config: UpdateConfigRequest,
    firmware: i64,
    device_ids: Option<&[String]>,
    root: &str,
    context: &RuleContext<'_>,
) -> Result<UpdateRequest> {
    let (request, mut errors) = convert(config, firmware);
    if errors.is_empty() {
        return Ok(request);
    }
    add_engine_errors(&mut errors, &request, device_ids, context).await?;
    let problem = Problem::invalid("invalid_update", errors);
    Err(problem.map_fields(|field| below_root(root, field)))
}

/// All rules that an update breaks. The options are below `root`.
pub(super) async fn broken_update_rules(
    config: UpdateConfigRequest,
    firmware: i64,
    device_ids: Option<&[String]>,
    root: &str,
    context: &RuleContext<'_>,
) -> Result<Vec<FieldError>> {
    let (request, mut errors) = convert(config, firmware);
    add_engine_errors(&mut errors, &request, device_ids, context).await?;
    let errors = errors.into_iter().map(|error| FieldError {
        path: below_root(root, error.path),
        message: error.message,
    });
    Ok(errors.collect())
}

async fn add_engine_errors(
    errors: &mut Vec<FieldError>,
    request: &UpdateRequest,
    device_ids: Option<&[String]>,
    context: &RuleContext<'_>,
) -> Result<()> {
    if let Some(ctx) = context.ctx {
        let engine = context.engine;
        let found =
            updates::validate(ctx, engine.store(), engine.plugins(), device_ids, request).await?;
        add_errors(errors, to_request_fields(found));
    }
    Ok(())
}

/// The field in a body that has the options below `root`.
pub(super) fn below_root(root: &str, field: String) -> String {
    match &*field {
        "" | "/device_ids" | "/firmware_id" => field,
        _ => format!("{root}{field}"),
    }
}

/// Other fields that the rules of an update read.
pub(super) fn also_reads(field: &str) -> &'static [&'static str] {
    match field {
        "/firmware_id" => &["/allow_beta"],
        option => update_options::also_reads(option),
    }
}
