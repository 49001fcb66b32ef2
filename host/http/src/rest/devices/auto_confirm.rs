use axum::{Json, extract::State};
use http::StatusCode;
use serde::Deserialize;
use tidegate_core::plugin::FieldError;
use tidegate_engine::{Authorized, Operator, registry};
use utoipa::ToSchema;

use super::body::DeviceBody;
use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::PathParams,
        json::OptionalJson,
        rules::{BodyRules, RuleContext},
        shared::{check_comment, comment_error},
    },
};

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct AutoConfirmRequest {
    /// Free text, at most 1000 characters.
    remark: Option<String>,
}

/// Activates auto-confirm for a device in the caller's name: waiting and future updates count as confirmed. If it is
/// active already, nothing changes.
#[utoipa::path(
    put, path = "/devices/{device_id}/auto-confirm", tag = "devices",
    params(("device_id" = String, Path)), request_body = Option<AutoConfirmRequest>,
    responses((status = 200, description = "The device with its auto-confirm.", body = DeviceBody)),
)]
pub(crate) async fn activate_auto_confirm(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
    OptionalJson(request): OptionalJson<AutoConfirmRequest>,
) -> Result<Json<DeviceBody>> {
    let remark = request
        .remark
        .map(|remark| check_comment("/remark", remark));
    let engine = &state.engine;
    let device = registry::activate_auto_confirm(
        &ctx,
        engine.update_writer(),
        engine.caches(),
        &device,
        remark.transpose()?,
    );
    Ok(Json(device.await?.into()))
}

/// Deactivates auto-confirm for a device, even if the device activated it. Updates that were confirmed stay confirmed.
#[utoipa::path(
    delete, path = "/devices/{device_id}/auto-confirm", tag = "devices",
    params(("device_id" = String, Path)),
    responses((status = 204, description = "Deactivated.")),
)]
pub(crate) async fn deactivate_auto_confirm(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
) -> Result<StatusCode> {
    registry::deactivate_auto_confirm(&ctx, state.engine.update_writer(), &device).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl BodyRules for AutoConfirmRequest {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let remark = self.remark.unwrap_or_default();
        Ok(comment_error("/remark", &remark).into_iter().collect())
    }
}
