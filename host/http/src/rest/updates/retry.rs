use axum::extract::State;
use tidegate_engine::updates;

use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Operator,
        created::Created,
        devices::{UpdateBody, created},
        segments::{Segments, id},
    },
};

/// Offers the firmware of an update that failed, timed out, was called back or was rejected to its device again, as a new
/// update without a campaign. 409 where the update is open or has completed.
#[utoipa::path(
    post, path = "/updates/{update_id}/retry", tag = "updates",
    params(("update_id" = i32, Path)),
    responses((status = 201, body = UpdateBody)),
)]
pub(crate) async fn retry_update(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Segments(update): Segments<String>,
) -> Result<Created<UpdateBody>> {
    let update = id("update", &update)?;
    let row = updates::retry(&state.engine, &actor, update).await?;
    Ok(created(row))
}
