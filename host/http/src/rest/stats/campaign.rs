use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use tidegate_core::Named as _;
use tidegate_engine::{Ctx, campaigns, ports::CampaignDetail};
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::{PathParams, parse_id},
        response::{Time, percent},
        shared::{CountsBody, progress_percentage, sum_counts},
    },
};

/// Statistics of a campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignStats {
    campaign_id: i64,
    status: &'static str,
    /// Devices in its waves.
    total: u64,
    counts: CountsBody,
    /// Share of devices whose update has ended, in percent; below 100 until the campaign has ended.
    progress_percentage: f64,
    /// Completed updates among those that completed, failed or timed out, in percent.
    success_rate: f64,
    /// Failed or timed out updates among the same, in percent.
    failure_rate: f64,
    failures_by_code: BTreeMap<String, u64>,
    /// Size of its journal. When it reaches the server's setting `journal.max_bytes_per_campaign`, the campaign is held.
    journal_bytes: u64,
    /// When one of the counters last changed.
    last_change: Option<Time>,
}

/// Shows the statistics of a campaign.
#[utoipa::path(
    get, path = "/stats/campaigns/{campaign_id}", tag = "stats",
    params(("campaign_id" = i64, Path)),
    responses((status = 200, description = "The campaign's statistics.", body = CampaignStats)),
)]
pub(crate) async fn show_campaign_stats(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
) -> Result<Json<CampaignStats>> {
    let store = state.engine.store();
    let id = parse_id("campaign", &campaign)?;
    let CampaignDetail { campaign, waves } = campaigns::detail(&ctx, store, id).await?;
    let last_change = campaigns::last_progress_at(&ctx, store, campaign.id).await?;
    let counts = sum_counts(&waves);
    let mut failures_by_code = BTreeMap::new();
    for failure in waves.iter().flat_map(|wave| &wave.report.failures) {
        *failures_by_code.entry(failure.code.clone()).or_default() += failure.devices;
    }
    let decided = counts.completed + counts.unsuccessful();
    Ok(Json(CampaignStats {
        campaign_id: campaign.id.0,
        status: campaign.status.as_str(),
        total: counts.total(),
        counts: counts.into(),
        progress_percentage: progress_percentage(campaign.status, &counts),
        success_rate: percent(counts.completed, decided),
        failure_rate: percent(counts.unsuccessful(), decided),
        failures_by_code,
        journal_bytes: campaign.journal_bytes,
        last_change: last_change.map(Time::from),
    }))
}
