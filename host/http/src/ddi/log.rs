use axum::{
    body::Bytes,
    extract::{FromRequest as _, Request, State, rejection::BytesRejection},
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, header::CONTENT_TYPE};
use tidegate_engine::devices;
use tokio::time::timeout;

use super::{device_auth::DeviceAuth, error::DdiError};
use crate::AppState;

/// Maximum size of a body, in bytes.
pub(super) const MAX_BODY: usize = 64 << 10;

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
    let reading = Bytes::from_request(request, &state);
    let body = match timeout(state.settings.request_timeout, reading).await {
        Ok(Ok(body)) => body,
        Ok(Err(BytesRejection::FailedToBufferBody(_))) => return Err(DdiError::TooLarge),
        Ok(Err(error)) => return Err(DdiError::malformed(error.body_text())),
        Err(_) => return Err(DdiError::TimedOut),
    };
    let text = String::from_utf8_lossy(&body);
    devices::report_log(&device.caller, &state.engine, &text).await?;
    Ok(StatusCode::OK.into_response())
}
