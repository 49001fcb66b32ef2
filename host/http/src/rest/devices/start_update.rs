use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use tidegate_engine::updates;
use utoipa::ToSchema;

use super::{UpdateBody, update_wish::UpdateConfig};
use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Operator,
        campaigns::{OnDenied, PluginWish, Priority, SuccessCriteria, UpdateType},
        created::Created,
        json::JsonBody,
        segments::Segments,
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
    policies: Option<Vec<PluginWish>>,
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
    Segments(device): Segments<String>,
    JsonBody(wanted): JsonBody<NewUpdate>,
) -> Result<Created<UpdateBody>> {
    let firmware = wanted.firmware_id;
    let wish = UpdateConfig::from(wanted).wish(firmware, "")?;
    let row = updates::create(&state.engine, &actor, &device, &wish).await?;
    Ok(created(row))
}

impl From<NewUpdate> for UpdateConfig {
    fn from(wanted: NewUpdate) -> Self {
        Self {
            priority: wanted.priority,
            force: wanted.force,
            allow_beta: wanted.allow_beta,
            timeout_minutes: wanted.timeout_minutes,
            update_type: wanted.update_type,
            forced_at: wanted.forced_at,
            requires_confirmation: wanted.requires_confirmation,
            on_denied: wanted.on_denied,
            confirmation_timeout_minutes: wanted.confirmation_timeout_minutes,
            download_timeout_minutes: wanted.download_timeout_minutes,
            install_timeout_minutes: wanted.install_timeout_minutes,
            maintenance_window: wanted.maintenance_window,
            max_retries: wanted.max_retries,
            retry_delay: wanted.retry_delay,
            success_criteria: wanted.success_criteria,
            soak_minutes: wanted.soak_minutes,
            policies: wanted.policies,
            pre_update_commands: wanted.pre_update_commands,
            post_update_commands: wanted.post_update_commands,
        }
    }
}

/// 201 for an update that was made.
pub(crate) fn created(row: tidegate_engine::ports::UpdateRow) -> Created<UpdateBody> {
    Created {
        location: format!("/updates/{}", row.update.id),
        body: row.into(),
    }
}
