use axum::{Json, extract::State};
use tidegate_engine::campaigns;

use super::shape::{CampaignBody, whole};
use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Operator,
        segments::{Segments, id},
    },
};

/// Starts a campaign: its devices are chosen, its policies and its strategy are asked, and its waves are fixed.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/start", tag = "campaigns",
    params(("campaign_id" = i64, Path)),
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn start_campaign(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Segments(campaign): Segments<String>,
) -> Result<Json<CampaignBody>> {
    let campaign = id("campaign", &campaign)?;
    let campaign = campaigns::start(&state.engine, &actor, campaign).await?;
    Ok(Json(whole(&state.engine, &actor, campaign).await?))
}
