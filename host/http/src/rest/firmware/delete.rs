use axum::extract::State;
use http::StatusCode;
use tidegate_engine::{Authorized, Publisher, firmware};

use crate::{
    AppState,
    problem::Result,
    rest::extract::{PathParams, parse_id},
};

/// Deletes a firmware: it is hidden from lists and new campaigns. 409 while a campaign rolls it out.
#[utoipa::path(
    delete, path = "/firmware/{firmware_id}", tag = "firmware",
    params(("firmware_id" = i64, Path)),
    responses((status = 204, description = "Deleted.")),
)]
pub(crate) async fn delete_firmware(
    ctx: Authorized<Publisher>,
    State(state): State<AppState>,
    PathParams(firmware): PathParams<String>,
) -> Result<StatusCode> {
    let firmware = parse_id("firmware", &firmware)?;
    firmware::delete(&ctx, state.engine.store(), firmware).await?;
    Ok(StatusCode::NO_CONTENT)
}
