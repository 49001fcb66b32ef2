use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_engine::campaigns;
use utoipa::ToSchema;

use super::{
    reason::checked,
    shape::{CampaignBody, whole},
};
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        access::Approver,
        json::OptionalJson,
        segments::{Segments, id},
    },
};

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct ApprovalWish {
    /// True when left out. Whoever does not approve leaves the campaign as it is, or has it cancelled.
    approved: Option<bool>,
    /// For people, at most 1000 characters.
    #[serde(default)]
    approval_comment: String,
}

/// Approves a campaign that somebody else made.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/approve", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = Option<ApprovalWish>,
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn approve_campaign(
    Approver(actor): Approver,
    State(state): State<AppState>,
    Segments(campaign): Segments<String>,
    OptionalJson(wanted): OptionalJson<ApprovalWish>,
) -> Result<Json<CampaignBody>> {
    let campaign = id("campaign", &campaign)?;
    let comment = checked("/approval_comment", wanted.approval_comment)?;
    if wanted.approved == Some(false) {
        let message = "a campaign that is not approved stays as it is; to end it, cancel it";
        return Err(Problem::field("invalid_approval", "/approved", message));
    }
    let campaign = campaigns::approve(&state.engine, &actor, campaign, comment).await?;
    Ok(Json(whole(&state.engine, &actor, campaign).await?))
}
