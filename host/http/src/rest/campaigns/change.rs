use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_engine::campaigns;
use utoipa::ToSchema;

use super::{
    create::Priority,
    shape::{CampaignBody, whole},
};
use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Operator,
        json::JsonBody,
        segments::{Segments, id},
    },
};

/// What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CampaignChange {
    priority: Option<Priority>,
    /// At least 1.
    max_concurrent_updates: Option<u64>,
}

/// Changes how urgent a campaign is, and how many of its devices may be in flight.
#[utoipa::path(
    patch, path = "/campaigns/{campaign_id}", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = CampaignChange,
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn change_campaign(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Segments(campaign): Segments<String>,
    JsonBody(wanted): JsonBody<CampaignChange>,
) -> Result<Json<CampaignBody>> {
    let campaign = id("campaign", &campaign)?;
    let priority = wanted.priority.map(Into::into);
    let limit = wanted.max_concurrent_updates;
    let changed = campaigns::change_limits(&state.engine, &actor, campaign, priority, limit);
    Ok(Json(whole(&state.engine, &actor, changed.await?).await?))
}
