use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_engine::updates;
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Operator,
        campaigns::check_comment,
        devices::UpdateBody,
        extract::{PathParams, parse_id},
        json::OptionalJson,
    },
};

/// How an update is called back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = CancelWish)]
pub(crate) struct CancelRequest {
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
    params(("update_id" = i32, Path)), request_body = Option<CancelRequest>,
    responses((status = 200, body = UpdateBody)),
)]
pub(crate) async fn cancel_update(
    Operator(actor): Operator,
    State(state): State<AppState>,
    PathParams(update): PathParams<String>,
    OptionalJson(request): OptionalJson<CancelRequest>,
) -> Result<Json<UpdateBody>> {
    let update = parse_id("update", &update)?;
    let reason = check_comment("/reason", request.reason)?;
    let row = updates::cancel(&state.engine, &actor, update, request.force, &reason).await?;
    Ok(Json(row.into()))
}
