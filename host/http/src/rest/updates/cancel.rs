use axum::{Json, extract::State};
use tidegate_engine::updates;

use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Operator,
        campaigns::Reason,
        devices::UpdateBody,
        json::OptionalJson,
        segments::{Segments, id},
    },
};

/// Calls an update back, of a campaign or not. Its device sees a cancelAction; one that does not agree goes on.
#[utoipa::path(
    post, path = "/updates/{update_id}/cancel", tag = "updates",
    params(("update_id" = i32, Path)), request_body = Option<Reason>,
    responses((status = 200, body = UpdateBody)),
)]
pub(crate) async fn cancel_update(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Segments(update): Segments<String>,
    OptionalJson(wanted): OptionalJson<Reason>,
) -> Result<Json<UpdateBody>> {
    let update = id("update", &update)?;
    let reason = wanted.checked()?;
    let row = updates::cancel(&state.engine, &actor, update, &reason).await?;
    Ok(Json(row.into()))
}
