use axum::{Json, extract::State};
use http::StatusCode;
use serde::Deserialize;
use tidegate_engine::registry;
use utoipa::ToSchema;

use super::body::DeviceBody;
use crate::{
    AppState,
    problem::Result,
    rest::{access::Operator, campaigns::check_comment, extract::PathParams, json::OptionalJson},
};

/// Why somebody agrees to everything.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = AutoConfirmWish)]
pub(crate) struct AutoConfirmRequest {
    /// For people, at most 1000 characters.
    remark: Option<String>,
}

/// Agrees to all updates of a device in the caller's name, those that wait for it and those that come. Where somebody
/// agrees already, that stays as it is.
#[utoipa::path(
    put, path = "/devices/{device_id}/auto-confirm", tag = "devices",
    params(("device_id" = String, Path)), request_body = Option<AutoConfirmRequest>,
    responses((status = 200, body = DeviceBody)),
)]
pub(crate) async fn activate_auto_confirm(
    Operator(actor): Operator,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
    OptionalJson(request): OptionalJson<AutoConfirmRequest>,
) -> Result<Json<DeviceBody>> {
    let remark = request
        .remark
        .map(|remark| check_comment("/remark", remark));
    let engine = &state.engine;
    let device = registry::activate_auto_confirm(engine, &actor, &device, remark.transpose()?);
    Ok(Json(device.await?.into()))
}

/// Agrees to no later updates of a device, whoever agreed; those that were agreed to stay so.
#[utoipa::path(
    delete, path = "/devices/{device_id}/auto-confirm", tag = "devices",
    params(("device_id" = String, Path)),
    responses((status = 204, description = "Nobody agrees beforehand any more.")),
)]
pub(crate) async fn deactivate_auto_confirm(
    Operator(actor): Operator,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
) -> Result<StatusCode> {
    registry::deactivate_auto_confirm(&state.engine, &actor, &device).await?;
    Ok(StatusCode::NO_CONTENT)
}
