use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use tidegate_engine::{Ctx, ports::Stats, tenants};
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::response::{Time, percent},
};

/// Statistics of a tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stats)]
pub(crate) struct StatsBody {
    devices: DeviceFigures,
    updates: Figures,
    campaigns: Figures,
    last_24h: Last24Hours,
    /// Size of the journals of all campaigns.
    journal_bytes: u64,
    /// When an update last changed.
    last_change: Option<Time>,
}

/// The total number, and the number in each status.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Figures {
    total: u64,
    by_status: BTreeMap<String, u64>,
}

/// The total number of devices, and the number of each kind. `unknown` counts devices that do not report the value,
/// `other` those whose value was new when 10,000 others were counted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceFigures {
    total: u64,
    by_state: BTreeMap<String, u64>,
    by_version: BTreeMap<String, u64>,
    by_model: BTreeMap<String, u64>,
    /// Devices that report a version other than the one their last completed update installed.
    drifted: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Last24Hours {
    completed: u64,
    /// Failed or timed out.
    failed: u64,
    /// Completed updates among those that completed, failed or timed out, in percent.
    success_rate: f64,
}

/// Shows statistics of all devices, updates and campaigns.
#[utoipa::path(
    get, path = "/stats", tag = "stats", responses((status = 200, description = "The statistics.", body = StatsBody)),
)]
pub(crate) async fn show_stats(ctx: Ctx, State(state): State<AppState>) -> Result<Json<StatsBody>> {
    let figures = tenants::stats(&ctx, state.engine.store(), state.engine.caches()).await?;
    Ok(Json(figures.into()))
}

impl From<Stats> for StatsBody {
    fn from(stats: Stats) -> Self {
        let (completed, failed) = (stats.completed_recently, stats.failed_recently);
        Self {
            devices: DeviceFigures {
                total: total(&stats.devices_by_state),
                by_state: stats.devices_by_state.into_iter().collect(),
                by_version: values(stats.devices_by_version, stats.devices_of_other_version),
                by_model: values(stats.devices_by_model, stats.devices_of_other_model),
                drifted: stats.drifted_devices,
            },
            updates: Figures::new(stats.updates_by_status),
            campaigns: Figures::new(stats.campaigns_by_status),
            last_24h: Last24Hours {
                completed,
                failed,
                success_rate: percent(completed, completed + failed),
            },
            journal_bytes: stats.journal_bytes,
            last_change: stats.last_change.map(Time::from),
        }
    }
}

/// Counts values that are not reported as `unknown`, as explanations of decisions do, and those without a counter of
/// their own as `other`.
fn values(counts: Vec<(String, u64)>, other: u64) -> BTreeMap<String, u64> {
    let mut figures = BTreeMap::new();
    for (name, devices) in counts {
        let name = if name.is_empty() {
            "unknown".to_owned()
        } else {
            name
        };
        *figures.entry(name).or_default() += devices;
    }
    if other > 0 {
        *figures.entry("other".to_owned()).or_default() += other;
    }
    figures
}

impl Figures {
    fn new(by_status: Vec<(String, u64)>) -> Self {
        Self {
            total: total(&by_status),
            by_status: by_status.into_iter().collect(),
        }
    }
}

fn total(counts: &[(String, u64)]) -> u64 {
    counts.iter().map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_without_a_counter_are_other() {
        let counts = || {
            vec![
                (String::new(), 2),
                ("1.0.0".to_owned(), 3),
                ("other".to_owned(), 1),
            ]
        };
        let expected = |other| {
            [("1.0.0", 3), ("other", other), ("unknown", 2)].map(|(name, n)| (name.to_owned(), n))
        };
        assert_eq!(values(counts(), 4), expected(5).into());
        assert_eq!(values(counts(), 0), expected(1).into());
    }
}
