use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_engine::{Ctx, registry};
use utoipa::IntoParams;

use super::body::DeviceBody;
use crate::{
    AppState,
    problem::Result,
    rest::{
        query::{QueryParams, page},
        response::List,
    },
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DevicesQuery {
    /// RSQL, such as `hw_model==rpi4;sw_version=lt=2.0.0;attribute.site==lab*`. Times are RFC 3339,
    /// `last_seen=gt=2026-05-01T12:00:00Z`, or milliseconds since 1970.
    q: Option<String>,
    /// `device_id`, `name`, `last_seen`, `sw_version`, `hw_model`, `feed`, `mode`, `state` or `created_at`, with
    /// `:desc` for descending order.
    sort: Option<String>,
    /// 1 to 500, 50 when left out.
    limit: Option<u32>,
    offset: Option<u64>,
}

/// Lists devices.
#[utoipa::path(
    get, path = "/devices", tag = "devices", params(DevicesQuery),
    responses((status = 200, body = List<DeviceBody>)),
)]
pub(crate) async fn list_devices(
    ctx: Ctx,
    State(state): State<AppState>,
    QueryParams(query): QueryParams<DevicesQuery>,
) -> Result<Json<List<DeviceBody>>> {
    let page = page(query.limit, query.offset)?;
    let (q, sort) = (query.q.as_deref(), query.sort.as_deref());
    let found = registry::list(&ctx, state.engine.store(), q, sort, page).await?;
    let items = found.items.into_iter().map(DeviceBody::from).collect();
    Ok(Json(List::new(items, found.total, page)))
}
