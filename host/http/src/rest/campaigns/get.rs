use axum::{Json, extract::State};
use tidegate_engine::Ctx;

use super::body::{CampaignBody, read_detail};
use crate::{
    AppState,
    problem::Result,
    rest::extract::{PathParams, parse_id},
};

/// Shows a campaign with its waves.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}", tag = "campaigns",
    params(("campaign_id" = i64, Path)),
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn get_campaign(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
) -> Result<Json<CampaignBody>> {
    let campaign = parse_id("campaign", &campaign)?;
    Ok(Json(read_detail(&ctx, &state.engine, campaign).await?))
}
