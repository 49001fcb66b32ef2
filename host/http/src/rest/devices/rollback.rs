use axum::extract::State;
use serde::Deserialize;
use tidegate_engine::{Authorized, Operator, updates};
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::PathParams,
        from_json::BodyPair,
        json::OptionalJson,
        response::CreatedResponse,
        shared::{CommandBody, UpdateBody, created_update},
    },
};

/// The version that a device is rolled back to, and why.
pub(crate) type DeviceRollback = CommandBody<DeviceRollbackTarget>;

/// The version that a device is rolled back to.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = DeviceRollback)]
pub(crate) struct DeviceRollbackTarget {
    /// A version that the device had, or that exists for its model under the name of its current firmware; when left
    /// out, the version before its last update.
    target_version: Option<String>,
    /// Ignores the hardware policy and a pin, and reinstalls a version that is already installed. If the tenant has
    /// `requires_approval`, the update then waits for the approval of another user.
    #[serde(default)]
    force: bool,
}

/// Rolls a device back to the version before its last update, or to a given version, with an update without a campaign.
/// Other open updates of the device are cancelled. 409 when there is no version to roll back to.
#[utoipa::path(
    post, path = "/devices/{device_id}/rollback", tag = "devices",
    params(("device_id" = String, Path)), request_body = Option<DeviceRollback>,
    responses((status = 201, description = "The update that rolls the device back.", body = UpdateBody)),
)]
pub(crate) async fn roll_back_device(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
    OptionalJson(BodyPair(target, reason)): OptionalJson<DeviceRollback>,
) -> Result<CreatedResponse<UpdateBody>> {
    let reason = reason.into_text()?;
    let version = target.target_version.as_deref();
    let force = target.force;
    let row = updates::roll_back(
        &ctx,
        state.engine.update_writer(),
        state.engine.plugins(),
        &device,
        version,
        force,
        &reason,
    )
    .await?;
    Ok(created_update(row))
}
