use axum::{Json, extract::State};
use tidegate_engine::campaigns;

use super::shape::{CampaignBody, whole};
use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Viewer,
        segments::{Segments, id},
    },
};

/// Shows a campaign with its waves.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}", tag = "campaigns",
    params(("campaign_id" = i64, Path)),
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn get_campaign(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Segments(campaign): Segments<String>,
) -> Result<Json<CampaignBody>> {
    let campaign = id("campaign", &campaign)?;
    let campaign = campaigns::get(&state.engine, &actor, campaign).await?;
    Ok(Json(whole(&state.engine, &actor, campaign).await?))
}
