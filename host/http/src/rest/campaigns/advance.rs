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

/// An operator's "go on" at the gate before a wave.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/waves/{wave}/advance", tag = "campaigns",
    params(("campaign_id" = i64, Path), ("wave" = u32, Path, description = "Counts from 0.")),
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn advance_campaign(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Segments((campaign, wave)): Segments<(String, String)>,
) -> Result<Json<CampaignBody>> {
    let (campaign, wave) = (id("campaign", &campaign)?, id("wave", &wave)?);
    let campaign = campaigns::advance(&state.engine, &actor, campaign, wave).await?;
    Ok(Json(whole(&state.engine, &actor, campaign).await?))
}
