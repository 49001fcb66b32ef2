use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_core::plugin::FieldError;
use tidegate_engine::{Authorized, Operator, campaigns};
use utoipa::ToSchema;

use super::body::{CampaignBody, detail};
use crate::{
    AppState,
    problem::Result,
    rest::{
        enum_field::{EnumField, PriorityField},
        extract::{PathParams, parse_id},
        json::JsonBody,
        rules::{Body, RuleContext},
    },
};

/// Fields that are left out stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CampaignChange)]
pub(crate) struct CampaignChangeRequest {
    priority: Option<PriorityField>,
    /// At least 1.
    max_concurrent_updates: Option<u64>,
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
    let priority = request.priority.map(|EnumField(priority)| priority);
    let limit = request.max_concurrent_updates;
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
        let error = || FieldError {
            path: "/max_concurrent_updates".to_owned(),
            message: "must be at least 1".to_owned(),
        };
        let is_zero = self.max_concurrent_updates == Some(0);
        Ok(is_zero.then(error).into_iter().collect())
    }
}
