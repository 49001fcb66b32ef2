use axum::{Json, extract::State};
use tidegate_engine::updates;

use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Viewer,
        devices::UpdateBody,
        extract::{PathParams, parse_id},
    },
};

/// Shows an update.
#[utoipa::path(
    get, path = "/updates/{update_id}", tag = "updates",
    params(("update_id" = i32, Path)),
    responses((status = 200, body = UpdateBody)),
)]
pub(crate) async fn get_update(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    PathParams(update): PathParams<String>,
) -> Result<Json<UpdateBody>> {
    let update = parse_id("update", &update)?;
    let row = updates::get(&state.engine, &actor, update).await?;
    Ok(Json(row.into()))
}
