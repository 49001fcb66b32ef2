use axum::{Json, extract::State};
use http::StatusCode;
use serde::Deserialize;
use tidegate_engine::registry;
use utoipa::ToSchema;

use super::shape::DeviceBody;
use crate::{
    AppState,
    problem::Result,
    rest::{access::Operator, campaigns::checked, json::OptionalJson, segments::Segments},
};

/// Why somebody agrees to everything.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct AutoConfirmWish {
    /// For people, at most 1000 characters.
    remark: Option<String>,
}

/// Agrees to all updates of a device in the caller's name, those that wait for it and those that come. Where somebody
/// agrees already, that stays as it is.
#[utoipa::path(
    put, path = "/devices/{device_id}/auto-confirm", tag = "devices",
    params(("device_id" = String, Path)), request_body = Option<AutoConfirmWish>,
    responses((status = 200, body = DeviceBody)),
)]
pub(crate) async fn activate_auto_confirm(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Segments(device): Segments<String>,
    OptionalJson(wanted): OptionalJson<AutoConfirmWish>,
) -> Result<Json<DeviceBody>> {
    let remark = wanted.remark.map(|remark| checked("/remark", remark));
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
    Segments(device): Segments<String>,
) -> Result<StatusCode> {
    registry::deactivate_auto_confirm(&state.engine, &actor, &device).await?;
    Ok(StatusCode::NO_CONTENT)
}
