use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use tidegate_engine::{Authorized, Operator, updates};
use utoipa::ToSchema;

use super::{UpdateBody, update_config::UpdateConfig};
use crate::{
    AppState,
    problem::Result,
    rest::{
        campaigns::{OnDenied, PluginSelection, Priority, SuccessCriteria, UpdateType},
        extract::PathParams,
        json::JsonBody,
        response::Created,
        window::WindowBody,
    },
};

/// A firmware for one device and the options of the update.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NewUpdate {
    firmware_id: i64,
    #[serde(default)]
    priority: Priority,
    /// Ignores compatibility policies and a pin, and reinstalls firmware that is already installed.
    #[serde(default)]
    force: bool,
    /// Allows beta firmware.
    #[serde(default)]
    allow_beta: bool,
    /// From the offer to the end of the update, 5 to 1440; 60 when left out.
    timeout_minutes: Option<u64>,
    /// How urgent it is; `forced` when left out.
    #[serde(default)]
    update_type: UpdateType,
    /// With `time_forced`: RFC 3339.
    forced_at: Option<String>,
    /// Whether the device's user must confirm the update before it begins.
    #[serde(default)]
    requires_confirmation: bool,
    /// With `requires_confirmation`: `offer_again` when left out.
    on_denied: Option<OnDenied>,
    /// With `requires_confirmation`: how long to wait for the confirmation, 5 to 43200; 10080, a week, when left out.
    confirmation_timeout_minutes: Option<u64>,
    /// From the start of the download to its last byte, at most `timeout_minutes`.
    download_timeout_minutes: Option<u64>,
    /// From the last byte until the device is done, at most `timeout_minutes`.
    install_timeout_minutes: Option<u64>,
    /// When it may be installed; at any time when left out. Timeouts begin when the window opens.
    maintenance_window: Option<WindowBody>,
    /// How often it is retried when the device fails or times out, 0 to 10; 0 when left out.
    max_retries: Option<u32>,
    /// With `max_retries`: seconds before the first retry, 1 to 3600; 60 when left out. It doubles with each retry, up
    /// to an hour.
    retry_delay: Option<u64>,
    #[serde(default)]
    success_criteria: SuccessCriteria,
    /// With `soaked`: 1 to 43200.
    soak_minutes: Option<u64>,
    /// The compatibility policies to evaluate; `hardware` and `version-path` with their default configs when left out.
    policies: Option<Vec<PluginSelection>>,
    #[schema(ignore)]
    pre_update_commands: Option<Value>,
    #[schema(ignore)]
    post_update_commands: Option<Value>,
}

/// Offers a firmware to a device. 409, with the reason, if an update of the same firmware is open, if it is already
/// installed or if a policy rejects it.
#[utoipa::path(
    post, path = "/devices/{device_id}/update", tag = "devices",
    params(("device_id" = String, Path)), request_body = NewUpdate,
    responses((status = 201, body = UpdateBody)),
)]
pub(crate) async fn update_device(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
    JsonBody(request): JsonBody<NewUpdate>,
) -> Result<Created<UpdateBody>> {
    let firmware = request.firmware_id;
    let update = UpdateConfig::from(request).into_request(firmware, "")?;
    let row = updates::create(&ctx, &state.engine, &device, &update).await?;
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

/// 201 for an update that was created.
pub(crate) fn created_update(row: tidegate_engine::ports::UpdateRow) -> Created<UpdateBody> {
    Created {
        location: format!("/updates/{}", row.update.id),
        body: row.into(),
    }
}
