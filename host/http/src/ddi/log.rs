use axum::{
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, header::CONTENT_TYPE};
use tidegate_engine::devices;

use super::{body::read_bytes, device_auth::DeviceAuth, error::DdiError};
use crate::AppState;

/// Maximum size of a body, in bytes.
const MAX_BODY: usize = 64 << 10;

/// Appends lines to the log of the device's current update. This resource is not part of hawkBit's API: without a
/// current update the response is 404, the same as from a server without the resource.
pub(super) async fn put(
    device: DeviceAuth,
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, DdiError> {
    let content_type = request.headers().get(CONTENT_TYPE);
    if !content_type.is_none_or(|content_type| {
        content_type
            .as_bytes()
            .to_ascii_lowercase()
            .starts_with(b"text/plain")
    }) {
        return Err(DdiError::UnsupportedMediaType);
    }
    let body = read_bytes(request, &state, MAX_BODY).await?;
    let text = String::from_utf8_lossy(&body);
    devices::report_log(&device.caller, &state.engine, &text).await?;
    Ok(StatusCode::OK.into_response())
}
