use axum::{Json, extract::State};
use http::StatusCode;
use serde::Serialize;
use tidegate_core::id::CampaignId;
use tidegate_engine::{Authorized, Operator, campaigns};
use utoipa::ToSchema;

use super::body::{CampaignBody, read_detail};
use crate::{
    AppState,
    problem::Result,
    rest::extract::{PathParams, parse_id},
};

/// A campaign with the result of advancing it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdvancedCampaign)]
pub(crate) struct AdvancedCampaignBody {
    #[serde(flatten)]
    campaign: CampaignBody,
    /// Whether the wave opened. `null`: the strategy has not decided yet; the wave's `advance` has the result later.
    applied: Option<bool>,
    /// The explanation of the decision, for example why the wave did not open.
    reason: Option<String>,
}

/// Advances a campaign past the gate before its next wave, and waits up to 5 seconds for the strategy's decision.
///
/// It concerns that decision only: if the wave does not open, the campaign must be advanced again.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/waves/{wave}/advance", tag = "campaigns",
    params(("campaign_id" = i64, Path), ("wave" = u32, Path, description = "Counts from 0.")),
    responses(
        (status = 200, description = "The strategy has decided.", body = AdvancedCampaignBody),
        (status = 202, description = "The strategy has not decided yet.", body = AdvancedCampaignBody),
    ),
)]
pub(crate) async fn advance_campaign(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams((campaign, wave)): PathParams<(String, String)>,
) -> Result<(StatusCode, Json<AdvancedCampaignBody>)> {
    let (id, wave) = (parse_id("campaign", &campaign)?, parse_id("wave", &wave)?);
    let (store, signals) = (state.engine.store(), state.engine.signals());
    campaigns::advance(&ctx, store, signals, id, wave).await?;
    decided(&ctx, &state, id, wave).await
}

/// Advances a campaign past the gate at which it waits, and waits up to 5 seconds for the strategy's decision.
///
/// `awaiting` of the campaign has the gate's name. If a wave opens behind the gate, this is the same as advancing to that
/// wave. A gate inside a wave is told to the strategy, whose next decision goes on.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/gates/{gate}/advance", tag = "campaigns",
    params(("campaign_id" = i64, Path), ("gate" = String, Path, description = "The gate's name.")),
    responses(
        (status = 200, description = "The strategy has decided.", body = AdvancedCampaignBody),
        (status = 202, description = "The strategy has not decided yet.", body = AdvancedCampaignBody),
    ),
)]
pub(crate) async fn advance_campaign_past_gate(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams((campaign, gate)): PathParams<(String, String)>,
) -> Result<(StatusCode, Json<AdvancedCampaignBody>)> {
    let id = parse_id("campaign", &campaign)?;
    let (store, signals) = (state.engine.store(), state.engine.signals());
    if let Some(wave) = campaigns::advance_past(&ctx, store, signals, id, &gate).await? {
        return decided(&ctx, &state, id, wave).await;
    }
    let body = AdvancedCampaignBody {
        campaign: read_detail(&ctx, &state.engine, id).await?,
        applied: None,
        reason: None,
    };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

/// The response after the strategy's decision on a wave.
async fn decided(
    ctx: &Authorized<Operator>,
    state: &AppState,
    id: CampaignId,
    wave: u32,
) -> Result<(StatusCode, Json<AdvancedCampaignBody>)> {
    let (store, signals) = (state.engine.store(), state.engine.signals());
    let limit = state.settings.decision_wait;
    let advance = campaigns::await_advance(ctx, store, signals, id, wave, limit).await?;
    let applied = advance.as_ref().and_then(|advance| advance.applied);
    let body = AdvancedCampaignBody {
        campaign: read_detail(ctx, &state.engine, id).await?,
        applied,
        reason: advance.map(|advance| advance.explain.join(" ")),
    };
    let status = match applied {
        Some(_) => StatusCode::OK,
        None => StatusCode::ACCEPTED,
    };
    Ok((status, Json(body)))
}
