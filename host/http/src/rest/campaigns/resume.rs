use axum::Json;
use tidegate_engine::campaigns;

use super::{shape::CampaignBody, steered::Steered};
use crate::problem::Result;

/// Goes on after a pause or a hold.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/resume", tag = "campaigns",
    params(("campaign_id" = i64, Path)),
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn resume_campaign(steered: Steered) -> Result<Json<CampaignBody>> {
    let resumed = campaigns::resume(&steered.engine, &steered.actor, steered.campaign).await?;
    steered.shown(resumed).await
}
