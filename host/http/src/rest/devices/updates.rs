use axum::{Json, extract::State};
use tidegate_engine::registry;

use super::UpdateBody;
use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Viewer,
        query::{PageQuery, Params, page},
        segments::Segments,
        wire::List,
    },
};

/// Lists a device's updates, newest first.
#[utoipa::path(
    get, path = "/devices/{device_id}/updates", tag = "devices",
    params(("device_id" = String, Path), PageQuery),
    responses((status = 200, body = List<UpdateBody>)),
)]
pub(crate) async fn list_device_updates(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Segments(device): Segments<String>,
    Params(query): Params<PageQuery>,
) -> Result<Json<List<UpdateBody>>> {
    let page = page(query.limit, query.offset)?;
    let found = registry::updates(&state.engine, &actor, &device, page).await?;
    let items = found.items.into_iter().map(UpdateBody::from).collect();
    Ok(Json(List::new(items, found.total, page)))
}
