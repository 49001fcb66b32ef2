use axum::Json;
use tidegate_engine::campaigns;

use super::{reason::Reason, shape::CampaignBody, steered::Steered};
use crate::{problem::Result, rest::json::OptionalJson};

/// Ends a campaign for good, and calls back what is in flight.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/cancel", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = Option<Reason>,
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn cancel_campaign(
    steered: Steered,
    OptionalJson(wanted): OptionalJson<Reason>,
) -> Result<Json<CampaignBody>> {
    let reason = wanted.checked()?;
    let cancelled =
        campaigns::cancel(&steered.engine, &steered.actor, steered.campaign, &reason).await?;
    steered.shown(cancelled).await
}
