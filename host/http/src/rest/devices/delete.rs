use axum::extract::State;
use http::StatusCode;
use tidegate_engine::registry;

use crate::{
    AppState,
    problem::Result,
    rest::{access::Operator, segments::Segments},
};

/// Deletes a device with its updates and all that it said. Campaigns keep what they counted.
#[utoipa::path(
    delete, path = "/devices/{device_id}", tag = "devices", params(("device_id" = String, Path)),
    responses((status = 204, description = "Gone.")),
)]
pub(crate) async fn delete_device(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Segments(device): Segments<String>,
) -> Result<StatusCode> {
    registry::delete(&state.engine, &actor, &device).await?;
    Ok(StatusCode::NO_CONTENT)
}
