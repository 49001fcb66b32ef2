use axum::{Json, extract::State};
use tidegate_engine::{Ctx, firmware};

use super::FirmwareBody;
use crate::{
    AppState,
    problem::Result,
    rest::extract::{PathParams, parse_id},
};

/// Shows a firmware. A deleted one is shown while a campaign, an update or a device refers to it.
#[utoipa::path(
    get, path = "/firmware/{firmware_id}", tag = "firmware",
    params(("firmware_id" = i64, Path)),
    responses((status = 200, description = "The firmware.", body = FirmwareBody)),
)]
pub(crate) async fn get_firmware(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(firmware): PathParams<String>,
) -> Result<Json<FirmwareBody>> {
    let firmware = parse_id("firmware", &firmware)?;
    Ok(Json(
        firmware::get(&ctx, state.engine.store(), firmware)
            .await?
            .into(),
    ))
}
