use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_core::plugin::FieldError;
use tidegate_engine::{Authorized, Operator, campaigns};
use utoipa::ToSchema;

use super::body::{CampaignBody, detail};
use crate::{
    AppState,
    field_names::to_request_fields,
    problem::Result,
    rest::{
        enum_field::{EnumField, PriorityField},
        extract::{PathParams, parse_id},
        json::JsonBody,
        patch::Patch,
        rules::{Body, RuleContext},
    },
};

/// Fields that are left out stay as they are; null resets a field to its default.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CampaignChange)]
pub(crate) struct CampaignChangeRequest {
    #[serde(default)]
    #[schema(value_type = Option<PriorityField>)]
    priority: Patch<PriorityField>,
    /// At least 1; null: unlimited.
    #[serde(default)]
    #[schema(value_type = Option<u64>)]
    max_concurrent_updates: Patch<u64>,
}

/// Changes the priority of a campaign and its limit of concurrent updates.
#[utoipa::path(
    patch, path = "/campaigns/{campaign_id}", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = CampaignChangeRequest,
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn change_campaign(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
    JsonBody(request): JsonBody<CampaignChangeRequest>,
) -> Result<Json<CampaignBody>> {
    let campaign = parse_id("campaign", &campaign)?;
    let priority = request.priority.or_default();
    let priority = priority.map(|EnumField(priority)| priority);
    let limit = request.max_concurrent_updates.or_absent();
    let changed = campaigns::change_limits(
        &ctx,
        state.engine.store(),
        state.engine.signals(),
        campaign,
        priority,
        limit,
    );
    Ok(Json(detail(&ctx, &state.engine, changed.await?).await?))
}

impl Body for CampaignChangeRequest {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let limit = self.max_concurrent_updates.or_absent().flatten();
        Ok(to_request_fields(campaigns::limit_errors(limit)))
    }
}
