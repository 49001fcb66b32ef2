use axum::{Json, extract::State};
use tidegate_engine::{Ctx, updates};

use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::{PathParams, parse_id},
        shared::UpdateBody,
    },
};

/// Shows an update.
#[utoipa::path(
    get, path = "/updates/{update_id}", tag = "updates",
    params(("update_id" = i32, Path)),
    responses((status = 200, description = "The update.", body = UpdateBody)),
)]
pub(crate) async fn get_update(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(update): PathParams<String>,
) -> Result<Json<UpdateBody>> {
    let update = parse_id("update", &update)?;
    let row = updates::get(&ctx, state.engine.store(), update).await?;
    Ok(Json(row.into()))
}
