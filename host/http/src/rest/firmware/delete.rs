use axum::extract::State;
use http::StatusCode;
use tidegate_engine::firmware;

use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Publisher,
        extract::{PathParams, parse_id},
    },
};

/// Hides a firmware from lists and new campaigns. One that a campaign still rolls out is 409.
#[utoipa::path(
    delete, path = "/firmware/{firmware_id}", tag = "firmware",
    params(("firmware_id" = i64, Path)),
    responses((status = 204, description = "Hidden.")),
)]
pub(crate) async fn delete_firmware(
    Publisher(actor): Publisher,
    State(state): State<AppState>,
    PathParams(firmware): PathParams<String>,
) -> Result<StatusCode> {
    let firmware = parse_id("firmware", &firmware)?;
    firmware::delete(&state.engine, &actor, firmware).await?;
    Ok(StatusCode::NO_CONTENT)
}
