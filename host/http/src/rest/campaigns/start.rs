use axum::Json;
use tidegate_engine::campaigns;

use super::{shape::CampaignBody, steered::Steered};
use crate::problem::Result;

/// Starts a campaign: its devices are chosen, its policies and its strategy are asked, and its waves are fixed.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/start", tag = "campaigns",
    params(("campaign_id" = i64, Path)),
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn start_campaign(steered: Steered) -> Result<Json<CampaignBody>> {
    let started = campaigns::start(&steered.engine, &steered.actor, steered.campaign).await?;
    steered.shown(started).await
}
