use axum::{Json, extract::State};
use tidegate_engine::{Authorized, Operator, campaigns};

use super::body::{CampaignBody, detail};
use crate::{
    AppState,
    problem::Result,
    rest::extract::{PathParams, parse_id},
};

/// Lets a campaign advance past the gate before a wave.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/waves/{wave}/advance", tag = "campaigns",
    params(("campaign_id" = i64, Path), ("wave" = u32, Path, description = "Counts from 0.")),
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn advance_campaign(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams((campaign, wave)): PathParams<(String, String)>,
) -> Result<Json<CampaignBody>> {
    let (campaign, wave) = (parse_id("campaign", &campaign)?, parse_id("wave", &wave)?);
    let campaign = campaigns::advance(
        &ctx,
        state.engine.store(),
        state.engine.signals(),
        campaign,
        wave,
    )
    .await?;
    Ok(Json(detail(&ctx, &state.engine, campaign).await?))
}
