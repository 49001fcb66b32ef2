use axum::Json;
use serde::Deserialize;
use tidegate_core::plugin;
use tidegate_engine::campaigns;
use utoipa::ToSchema;

use super::{reason::checked, shape::CampaignBody, steered::Steered};
use crate::{problem::Result, rest::json::OptionalJson};

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct RollbackWish {
    /// For people, at most 1000 characters.
    #[serde(default)]
    reason: String,
    #[serde(default)]
    scope: Scope,
}

/// What a rollback reaches.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    /// Devices in flight and devices already done.
    #[default]
    Everything,
    /// Devices in flight.
    InFlight,
}

/// Sends a campaign back: what is in flight is called back, what is done gets the firmware that it had before.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/rollback", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = Option<RollbackWish>,
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn roll_back_campaign(
    steered: Steered,
    OptionalJson(wanted): OptionalJson<RollbackWish>,
) -> Result<Json<CampaignBody>> {
    let reason = checked("/reason", wanted.reason)?;
    let scope = match wanted.scope {
        Scope::Everything => plugin::Scope::Everything,
        Scope::InFlight => plugin::Scope::InFlight,
    };
    let turned = campaigns::roll_back(
        &steered.engine,
        &steered.actor,
        steered.campaign,
        scope,
        &reason,
    )
    .await?;
    steered.shown(turned).await
}
