use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use tidegate_engine::updates;
use utoipa::ToSchema;

use super::{UpdateBody, update_config::UpdateConfig};
use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Operator,
        campaigns::{OnDenied, PluginSelection, Priority, SuccessCriteria, UpdateType},
        extract::PathParams,
        json::JsonBody,
        response::Created,
        window::WindowBody,
    },
};

/// One firmware for one device. (No flattening: that would swallow fields that nobody knows.)
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NewUpdate {
    firmware_id: i64,
    #[serde(default)]
    priority: Priority,
    /// Goes past what compatibility policies say and past a pin, and installs again what is installed.
    #[serde(default)]
    force: bool,
    /// Whether beta firmware is meant.
    #[serde(default)]
    allow_beta: bool,
    /// From offer to end, 5 to 1440; 60 when left out.
    timeout_minutes: Option<u64>,
    /// How urgent it is; `forced` when left out.
    #[serde(default)]
    update_type: UpdateType,
    /// Of `time_forced`: from when on, RFC 3339.
    forced_at: Option<String>,
    /// Whether somebody at the device has to agree first.
    #[serde(default)]
    requires_confirmation: bool,
    /// Of `requires_confirmation`: `offer_again` when left out.
    on_denied: Option<OnDenied>,
    /// Of `requires_confirmation`: how long to wait for an answer, 5 to 43200; 10080, a week, when left out.
    confirmation_timeout_minutes: Option<u64>,
    /// From taking it up to the last byte, at most `timeout_minutes`.
    download_timeout_minutes: Option<u64>,
    /// From the last byte until the device says that it is done, at most `timeout_minutes`.
    install_timeout_minutes: Option<u64>,
    /// When it may be installed; left out: at any time. The times begin when it opens.
    maintenance_window: Option<WindowBody>,
    /// How often it is tried again when its device fails or falls silent, 0 to 10; 0 when left out.
    max_retries: Option<u32>,
    /// Of `max_retries`: seconds before the first retry, 1 to 3600; 60 when left out. It doubles with each retry, up to
    /// an hour.
    retry_delay: Option<u64>,
    #[serde(default)]
    success_criteria: SuccessCriteria,
    /// Of `soaked`: 1 to 43200.
    soak_minutes: Option<u64>,
    /// The compatibility policies that are asked; `hardware` and `version-path` with their defaults when left out.
    policies: Option<Vec<PluginSelection>>,
    #[schema(ignore)]
    pre_update_commands: Option<Value>,
    #[schema(ignore)]
    post_update_commands: Option<Value>,
}

/// Offers a firmware to a device. What stands against it - an open update of the same firmware, that it is installed
/// already, a policy - is a 409 with the reason.
#[utoipa::path(
    post, path = "/devices/{device_id}/update", tag = "devices",
    params(("device_id" = String, Path)), request_body = NewUpdate,
    responses((status = 201, body = UpdateBody)),
)]
pub(crate) async fn update_device(
    Operator(actor): Operator,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
    JsonBody(request): JsonBody<NewUpdate>,
) -> Result<Created<UpdateBody>> {
    let firmware = request.firmware_id;
    let update = UpdateConfig::from(request).into_request(firmware, "")?;
    let row = updates::create(&state.engine, &actor, &device, &update).await?;
    Ok(created_update(row))
}

impl From<NewUpdate> for UpdateConfig {
    fn from(request: NewUpdate) -> Self {
        Self {
            priority: request.priority,
            force: request.force,
            allow_beta: request.allow_beta,
            timeout_minutes: request.timeout_minutes,
            update_type: request.update_type,
            forced_at: request.forced_at,
            requires_confirmation: request.requires_confirmation,
            on_denied: request.on_denied,
            confirmation_timeout_minutes: request.confirmation_timeout_minutes,
            download_timeout_minutes: request.download_timeout_minutes,
            install_timeout_minutes: request.install_timeout_minutes,
            maintenance_window: request.maintenance_window,
            max_retries: request.max_retries,
            retry_delay: request.retry_delay,
            success_criteria: request.success_criteria,
            soak_minutes: request.soak_minutes,
            policies: request.policies,
            pre_update_commands: request.pre_update_commands,
            post_update_commands: request.post_update_commands,
        }
    }
}

/// 201 for an update that was made.
pub(crate) fn created_update(row: tidegate_engine::ports::UpdateRow) -> Created<UpdateBody> {
    Created {
        location: format!("/updates/{}", row.update.id),
        body: row.into(),
    }
}
