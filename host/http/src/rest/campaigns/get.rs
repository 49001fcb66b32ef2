use axum::extract::State;
use tidegate_engine::Ctx;

use super::{body::CampaignBody, etag::TaggedCampaign};
use crate::{
    AppState,
    problem::Result,
    rest::extract::{PathParams, parse_id},
};

/// Shows a campaign with its waves.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}", tag = "campaigns",
    params(("campaign_id" = i64, Path)),
    responses((
        status = 200, description = "The campaign.", body = CampaignBody,
        headers(("ETag" = String, description = "For `If-Match`. Every command and every decision changes it.")),
    )),
)]
pub(crate) async fn get_campaign(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
) -> Result<TaggedCampaign> {
    let campaign = parse_id("campaign", &campaign)?;
    TaggedCampaign::read(&ctx, &state.engine, campaign).await
}
