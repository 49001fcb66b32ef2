use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_engine::{
    Ctx,
    ports::{DeviceFilter, PageRequest},
    registry,
};
use utoipa::IntoParams;

use super::body::DeviceBody;
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        query::{Query, QueryParams, both, page},
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

impl Query for DevicesQuery {
    type Params = (DeviceFilter, PageRequest);

    fn check(self) -> Result<Self::Params> {
        let selector = self.q.as_deref().map(DeviceFilter::parse_selector);
        let sort = self.sort.as_deref().map(DeviceFilter::parse_sort);
        let filter = both(
            selector.transpose().map_err(Problem::from),
            sort.transpose().map_err(Problem::from),
        );
        let ((selector, sort), page) = both(filter, page(self.limit, self.offset))?;
        let (sort, descending) = sort.unwrap_or_default();
        let filter = DeviceFilter {
            selector,
            sort,
            descending,
        };
        Ok((filter, page))
    }
}

/// Lists devices.
#[utoipa::path(
    get, path = "/devices", tag = "devices", params(DevicesQuery),
    responses((status = 200, description = "A page of devices.", body = List<DeviceBody>)),
)]
pub(crate) async fn list_devices(
    ctx: Ctx,
    State(state): State<AppState>,
    QueryParams((filter, page)): QueryParams<DevicesQuery>,
) -> Result<Json<List<DeviceBody>>> {
    let found = registry::list(
        &ctx,
        state.engine.store(),
        state.engine.caches(),
        &filter,
        page,
    )
    .await?;
    let items = found.items.into_iter().map(DeviceBody::from).collect();
    Ok(Json(List::new(items, found.total, page)))
}
