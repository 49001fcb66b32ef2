use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_engine::updates;
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Operator,
        campaigns::checked,
        devices::UpdateBody,
        json::OptionalJson,
        segments::{Segments, id},
    },
};

/// How an update is called back.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct CancelWish {
    /// Of an update that is called back already: ends it at once, whatever its device makes of it.
    #[serde(default)]
    force: bool,
    /// For people, at most 1000 characters.
    #[serde(default)]
    reason: String,
}

/// Calls an update back, of a campaign or not. Its device sees a cancelAction; one that does not agree goes on. `force`
/// ends an update that is called back without waiting for its device, whose feedback is refused with 410 from then on; 409
/// where it was not called back.
#[utoipa::path(
    post, path = "/updates/{update_id}/cancel", tag = "updates",
    params(("update_id" = i32, Path)), request_body = Option<CancelWish>,
    responses((status = 200, body = UpdateBody)),
)]
pub(crate) async fn cancel_update(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Segments(update): Segments<String>,
    OptionalJson(wanted): OptionalJson<CancelWish>,
) -> Result<Json<UpdateBody>> {
    let update = id("update", &update)?;
    let reason = checked("/reason", wanted.reason)?;
    let row = updates::cancel(&state.engine, &actor, update, wanted.force, &reason).await?;
    Ok(Json(row.into()))
}
