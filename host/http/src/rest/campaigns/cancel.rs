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

/// Ends a campaign for good, and calls back what is in flight.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/cancel", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = Option<Reason>,
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn cancel_campaign(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Segments(campaign): Segments<String>,
    OptionalJson(wanted): OptionalJson<Reason>,
) -> Result<Json<CampaignBody>> {
    let campaign = id("campaign", &campaign)?;
    let reason = wanted.checked()?;
    let campaign = campaigns::cancel(&state.engine, &actor, campaign, &reason).await?;
    Ok(Json(whole(&state.engine, &actor, campaign).await?))
}
