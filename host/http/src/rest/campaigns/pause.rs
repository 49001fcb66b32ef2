use axum::Json;
use tidegate_engine::campaigns;

use super::{reason::Reason, shape::CampaignBody, steered::Steered};
use crate::{problem::Result, rest::json::OptionalJson};

/// Stops releasing devices until somebody resumes. What is in flight goes on.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/pause", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = Option<Reason>,
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn pause_campaign(
    steered: Steered,
    OptionalJson(wanted): OptionalJson<Reason>,
) -> Result<Json<CampaignBody>> {
    let reason = wanted.checked()?;
    let paused =
        campaigns::pause(&steered.engine, &steered.actor, steered.campaign, &reason).await?;
    steered.shown(paused).await
}
