use axum::{Json, extract::State};
use tidegate_engine::registry;

use super::shape::DeviceBody;
use crate::{
    AppState,
    problem::Result,
    rest::{access::Viewer, segments::Segments},
};

/// Shows a device.
#[utoipa::path(
    get, path = "/devices/{device_id}", tag = "devices", params(("device_id" = String, Path)),
    responses((status = 200, body = DeviceBody)),
)]
pub(crate) async fn get_device(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Segments(device): Segments<String>,
) -> Result<Json<DeviceBody>> {
    Ok(Json(
        registry::get(&state.engine, &actor, &device).await?.into(),
    ))
}
