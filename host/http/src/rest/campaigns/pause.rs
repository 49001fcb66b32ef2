use axum::{Json, extract::State};
use tidegate_engine::campaigns;

use super::{
    reason::Reason,
    shape::{CampaignBody, whole},
};
use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Operator,
        json::OptionalJson,
        segments::{Segments, id},
    },
};

/// Stops releasing devices until somebody resumes. What is in flight goes on.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/pause", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = Option<Reason>,
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn pause_campaign(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Segments(campaign): Segments<String>,
    OptionalJson(wanted): OptionalJson<Reason>,
) -> Result<Json<CampaignBody>> {
    let campaign = id("campaign", &campaign)?;
    let reason = wanted.checked()?;
    let campaign = campaigns::pause(&state.engine, &actor, campaign, &reason).await?;
    Ok(Json(whole(&state.engine, &actor, campaign).await?))
}
