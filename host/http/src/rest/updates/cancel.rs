use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_engine::{Authorized, Operator, updates};
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::{PathParams, parse_id},
        from_json::BodyPair,
        json::OptionalJson,
        shared::{CommandBody, UpdateBody},
    },
};

/// How an update is cancelled, and why.
pub(crate) type CancelRequest = CommandBody<CancelOptions>;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = CancelRequest)]
pub(crate) struct CancelOptions {
    /// Immediately ends an update that is being cancelled, without waiting for its device.
    #[serde(default)]
    force: bool,
}

/// Cancels an update, of a campaign or not. Its device gets a cancelAction and may refuse it, in which case the update
/// continues. `force` ends an update that is being cancelled without waiting for its device, whose feedback is rejected
/// with 410 from then on; 409 if it is not being cancelled.
#[utoipa::path(
    post, path = "/updates/{update_id}/cancel", tag = "updates",
    params(("update_id" = i32, Path)), request_body = Option<CancelRequest>,
    responses((status = 200, description = "The update, which is being cancelled or has ended.", body = UpdateBody)),
)]
pub(crate) async fn cancel_update(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(update): PathParams<String>,
    OptionalJson(BodyPair(options, reason)): OptionalJson<CancelRequest>,
) -> Result<Json<UpdateBody>> {
    let update = parse_id("update", &update)?;
    let reason = reason.into_text()?;
    let row = updates::cancel(
        &ctx,
        state.engine.update_writer(),
        update,
        options.force,
        &reason,
    )
    .await?;
    Ok(Json(row.into()))
}
