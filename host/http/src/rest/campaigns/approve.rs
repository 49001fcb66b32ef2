use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_engine::{Approver, Authorized, campaigns};
use utoipa::ToSchema;

use super::{
    body::{CampaignBody, detail},
    reason::check_comment,
};
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        extract::{PathParams, parse_id},
        json::OptionalJson,
    },
};

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct ApprovalRequest {
    /// True when left out. False is an error: a campaign that is not approved stays as it is until it is cancelled.
    approved: Option<bool>,
    /// Free text, at most 1000 characters.
    #[serde(default)]
    approval_comment: String,
}

/// Approves a campaign. Its creator cannot approve it.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/approve", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = Option<ApprovalRequest>,
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn approve_campaign(
    ctx: Authorized<Approver>,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
    OptionalJson(request): OptionalJson<ApprovalRequest>,
) -> Result<Json<CampaignBody>> {
    let campaign = parse_id("campaign", &campaign)?;
    let comment = check_comment("/approval_comment", request.approval_comment)?;
    if request.approved == Some(false) {
        let message = "must be true or left out; cancel the campaign to end it";
        return Err(Problem::field("invalid_approval", "/approved", message));
    }
    let campaign = campaigns::approve(&ctx, &state.engine, campaign, comment).await?;
    Ok(Json(detail(&ctx, &state.engine, campaign).await?))
}
