use axum::{Json, extract::State};
use tidegate_engine::{Ctx, updates};

use crate::{
    AppState,
    problem::Result,
    rest::{
        query::QueryParams,
        response::List,
        shared::{UpdateBody, UpdatesQuery},
    },
};

/// Lists the updates of all devices, newest first; with `status=waiting_approval` those that wait for approval.
#[utoipa::path(
    get, path = "/updates", tag = "updates", params(UpdatesQuery),
    responses((status = 200, description = "A page of updates, newest first.", body = List<UpdateBody>)),
)]
pub(crate) async fn list_updates(
    ctx: Ctx,
    State(state): State<AppState>,
    QueryParams((status, page)): QueryParams<UpdatesQuery>,
) -> Result<Json<List<UpdateBody>>> {
    let found = updates::list(&ctx, state.engine.store(), status, page).await?;
    let items = found.items.into_iter().map(UpdateBody::from).collect();
    Ok(Json(List::new(items, found.total, page)))
}
