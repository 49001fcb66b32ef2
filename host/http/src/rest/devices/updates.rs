use axum::{Json, extract::State};
use serde::Serialize;
use tidegate_core::wave::Counts;
use tidegate_engine::{registry, updates};
use utoipa::ToSchema;

use super::UpdateBody;
use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Viewer,
        extract::PathParams,
        query::{PageQuery, QueryParams, page},
        response::percent,
    },
};

/// A part of a device's updates, and how all of them went.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceUpdates {
    /// This part, newest first.
    items: Vec<UpdateBody>,
    /// How many there are in this part.
    count: u64,
    /// How many there are in all.
    total: u64,
    /// How many were asked for at most.
    limit: u32,
    /// How many were skipped.
    offset: u64,
    totals: UpdateTotals,
    /// Completed ones among those that completed, failed, timed out or were rejected, in percent; none before the first.
    success_rate: Option<f64>,
}

/// How many updates of a device stand where; of the tries of one, the last.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpdateTotals {
    open: u64,
    completed: u64,
    failed: u64,
    timed_out: u64,
    cancelled: u64,
    rejected: u64,
}

/// Lists a device's updates, newest first, and says how all of them went.
#[utoipa::path(
    get, path = "/devices/{device_id}/updates", tag = "devices",
    params(("device_id" = String, Path), PageQuery),
    responses((status = 200, body = DeviceUpdates)),
)]
pub(crate) async fn list_device_updates(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<DeviceUpdates>> {
    let page = page(query.limit, query.offset)?;
    let found = registry::updates(&state.engine, &actor, &device, page).await?;
    let counts = updates::totals(&state.engine, &actor, &device).await?;
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

/// Those that were called back went neither well nor badly.
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
