use axum::{Json, extract::State};
use serde::Serialize;
use tidegate_core::wave::Counts;
use tidegate_engine::{Ctx, registry, updates};
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::PathParams,
        query::QueryParams,
        response::percent,
        shared::{UpdateBody, UpdatesQuery},
    },
};

/// A page of a device's updates, with totals of all of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceUpdates {
    /// This page, newest first.
    items: Vec<UpdateBody>,
    /// Number of items on this page.
    count: u64,
    /// Number of items on all pages.
    total: u64,
    /// Maximum number of items on a page.
    limit: u32,
    /// Number of items skipped before this page.
    offset: u64,
    totals: UpdateTotals,
    /// Completed updates among those that completed, failed, timed out or were rejected, in percent; null if there are
    /// none.
    success_rate: Option<f64>,
}

/// Number of a device's updates in each state. Of the attempts of one update only the last counts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpdateTotals {
    open: u64,
    completed: u64,
    failed: u64,
    timed_out: u64,
    cancelled: u64,
    rejected: u64,
}

/// Lists a device's updates, newest first, with totals.
#[utoipa::path(
    get, path = "/devices/{device_id}/updates", tag = "devices",
    params(("device_id" = String, Path), UpdatesQuery),
    responses((
        status = 200, description = "A page of the device's updates, newest first, with totals.",
        body = DeviceUpdates,
    )),
)]
pub(crate) async fn list_device_updates(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
    QueryParams((status, page)): QueryParams<UpdatesQuery>,
) -> Result<Json<DeviceUpdates>> {
    let found = registry::updates(&ctx, state.engine.store(), &device, status, page).await?;
    let counts = updates::totals(&ctx, state.engine.store(), &device).await?;
    let items: Vec<_> = found.items.into_iter().map(UpdateBody::from).collect();
    Ok(Json(DeviceUpdates {
        count: items.len() as u64,
        items,
        total: found.total,
        limit: page.limit,
        offset: page.offset,
        success_rate: success_rate(&counts),
        totals: UpdateTotals {
            open: counts.in_flight(),
            completed: counts.completed,
            failed: counts.failed,
            timed_out: counts.timed_out,
            cancelled: counts.cancelled,
            rejected: counts.rejected,
        },
    }))
}

/// Cancelled updates count neither as successes nor as failures.
fn success_rate(counts: &Counts) -> Option<f64> {
    let ended = counts.completed + counts.unsuccessful() + counts.rejected;
    (ended > 0).then(|| percent(counts.completed, ended))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelled_updates_do_not_count() {
        let counts = Counts {
            completed: 2,
            failed: 1,
            cancelled: 5,
            offered: 7,
            ..Counts::default()
        };
        assert_eq!(success_rate(&counts), Some(66.7));
        assert_eq!(success_rate(&Counts::default()), None);
    }
}
