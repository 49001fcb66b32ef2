use axum::{Json, extract::State};
use serde::Serialize;
use tidegate_core::Named as _;
use tidegate_engine::{Ctx, ports::AttributeChange, registry};
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::PathParams,
        query::{PageQuery, QueryParams},
        response::{List, Time},
    },
};

/// An attribute that a report of the device changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AttributeChange)]
pub(crate) struct AttributeChangeBody {
    /// Numbers the changes of the device.
    seq: u64,
    /// The same for all changes of one report.
    report: u64,
    at: Time,
    /// How the report was combined with the previous attributes: `merge`, `replace` or `remove`.
    mode: &'static str,
    key: String,
    /// The previous value; null if there was none.
    before: Option<String>,
    /// The new value; null if it was removed.
    after: Option<String>,
}

/// Lists the attribute changes reported by a device, newest first. The last 500 changes of each device are kept.
#[utoipa::path(
    get, path = "/devices/{device_id}/attributes/history", tag = "devices",
    params(("device_id" = String, Path), PageQuery),
    responses((status = 200, description = "A page of changes, newest first.", body = List<AttributeChangeBody>)),
)]
pub(crate) async fn list_attribute_changes(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
    QueryParams(page): QueryParams<PageQuery>,
) -> Result<Json<List<AttributeChangeBody>>> {
    let found = registry::attribute_changes(&ctx, state.engine.store(), &device, page).await?;
    let items = found.items.into_iter().map(AttributeChangeBody::from);
    Ok(Json(List::new(items.collect(), found.total, page)))
}

impl From<AttributeChange> for AttributeChangeBody {
    fn from(change: AttributeChange) -> Self {
        Self {
            seq: change.seq,
            report: change.report,
            at: change.at.into(),
            mode: change.mode.as_str(),
            key: change.key,
            before: change.before,
            after: change.after,
        }
    }
}
