use axum::extract::State;
use serde::Deserialize;
use tidegate_core::plugin::FieldError;
use tidegate_engine::{Authorized, Operator, updates};
use utoipa::ToSchema;

use super::update_config::{UpdateConfigRequest, also_reads, broken_update_rules, into_request};
use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::PathParams,
        from_json::BodyPair,
        json::JsonBody,
        response::CreatedResponse,
        rules::{BodyRules, RuleContext},
        shared::{UpdateBody, created_update},
    },
};

/// A firmware for one device and the options of the update.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewUpdate)]
pub(crate) struct NewUpdateBody {
    firmware_id: i64,
}

/// A firmware for one device, how it is offered, and the update options.
pub(crate) type NewUpdateRequest = BodyPair<NewUpdateBody, UpdateConfigRequest>;

impl BodyRules for NewUpdateRequest {
    async fn broken_rules(self, context: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let Self(update, config) = self;
        broken_update_rules(config, update.firmware_id, None, "", context).await
    }

    fn also_reads(field: &str) -> &'static [&'static str] {
        also_reads(field)
    }
}

/// Offers a firmware to a device. 409, with the reason, if an update of the same firmware is open, if it is already
/// installed or if a policy rejects it.
#[utoipa::path(
    post, path = "/devices/{device_id}/update", tag = "devices",
    params(("device_id" = String, Path)), request_body = NewUpdateRequest,
    responses((status = 201, description = "The created update.", body = UpdateBody)),
)]
pub(crate) async fn update_device(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
    JsonBody(request): JsonBody<NewUpdateRequest>,
) -> Result<CreatedResponse<UpdateBody>> {
    let BodyPair(update, config) = request;
    let context = RuleContext {
        engine: &state.engine,
        ctx: Some(&ctx),
    };
    let update = into_request(config, update.firmware_id, None, "", &context).await?;
    let row = updates::create(
        &ctx,
        state.engine.update_writer(),
        state.engine.plugins(),
        &device,
        &update,
    )
    .await?;
    Ok(created_update(row))
}
