use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_core::plugin::FieldError;
use tidegate_engine::{Approver, Authorized, campaigns};
use utoipa::ToSchema;

use super::body::{CampaignBody, detail};
use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::{PathParams, parse_id},
        json::OptionalJson,
        rules::{Body, RuleContext},
        shared::{check_comment, comment_error},
    },
};

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct ApprovalRequest {
    /// True when left out. False rejects the campaign: it ends as `cancelled`, and `explain` says who rejected it and why.
    approved: Option<bool>,
    /// Free text, at most 1000 characters.
    #[serde(default)]
    approval_comment: String,
}

/// Approves or rejects a campaign that waits for approval. Its creator can do neither.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/approve", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = Option<ApprovalRequest>,
    responses((status = 200, description = "The campaign after the decision.", body = CampaignBody)),
)]
pub(crate) async fn approve_campaign(
    ctx: Authorized<Approver>,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
    OptionalJson(request): OptionalJson<ApprovalRequest>,
) -> Result<Json<CampaignBody>> {
    let campaign = parse_id("campaign", &campaign)?;
    let comment = check_comment("/approval_comment", request.approval_comment)?;
    let (store, signals) = (state.engine.store(), state.engine.signals());
    let campaign = if request.approved == Some(false) {
        campaigns::reject(&ctx, store, signals, campaign, &comment).await?
    } else {
        campaigns::approve(&ctx, store, signals, campaign, comment).await?
    };
    Ok(Json(detail(&ctx, &state.engine, campaign).await?))
}

impl Body for ApprovalRequest {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let comment = comment_error("/approval_comment", &self.approval_comment);
        Ok(comment.into_iter().collect())
    }
}
