use axum::extract::State;
use http::StatusCode;
use tidegate_engine::{Authorized, Operator, campaigns};

use crate::{
    AppState,
    problem::Result,
    rest::extract::{PathParams, parse_id},
};

/// Deletes a campaign that has never started. 409 `campaign_started` if it has.
#[utoipa::path(
    delete, path = "/campaigns/{campaign_id}", tag = "campaigns",
    params(("campaign_id" = i64, Path)),
    responses((status = 204, description = "Deleted.")),
)]
pub(crate) async fn delete_campaign(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
) -> Result<StatusCode> {
    let campaign = parse_id("campaign", &campaign)?;
    let engine = &state.engine;
    campaigns::delete(&ctx, engine.store(), engine.signals(), campaign).await?;
    Ok(StatusCode::NO_CONTENT)
}
