use axum::extract::State;
use serde::Deserialize;
use tidegate_engine::updates;
use utoipa::ToSchema;

use super::{UpdateBody, start_update::created_update};
use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Operator, campaigns::check_comment, extract::PathParams, json::OptionalJson,
        response::Created,
    },
};

/// What a device is to go back to.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct DeviceRollback {
    /// A version that it had, or that exists for its model under the name of what it has; left out: what it had before its
    /// last update.
    target_version: Option<String>,
    /// Goes past the policy about hardware and past a pin, and brings again what is there.
    #[serde(default)]
    force: bool,
    /// For people, at most 1000 characters.
    #[serde(default)]
    reason: String,
}

/// Brings a device back to what it had before its last update, or to a version by name, as an update of its own. Whatever
/// else is open for the device is called back. 409 when there is nothing to go back to.
#[utoipa::path(
    post, path = "/devices/{device_id}/rollback", tag = "devices",
    params(("device_id" = String, Path)), request_body = Option<DeviceRollback>,
    responses((status = 201, body = UpdateBody)),
)]
pub(crate) async fn roll_back_device(
    Operator(actor): Operator,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
    OptionalJson(request): OptionalJson<DeviceRollback>,
) -> Result<Created<UpdateBody>> {
    let reason = check_comment("/reason", request.reason)?;
    let version = request.target_version.as_deref();
    let force = request.force;
    let row = updates::roll_back(&state.engine, &actor, &device, version, force, &reason).await?;
    Ok(created_update(row))
}
