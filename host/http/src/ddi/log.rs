use axum::{
    body::Bytes,
    extract::{FromRequest as _, Request, State, rejection::BytesRejection},
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, header::CONTENT_TYPE};
use tidegate_engine::devices;
use tokio::time::timeout;

use super::{door::Door, refusal::Refusal};
use crate::AppState;

/// Largest body, in bytes.
pub(super) const MAX_BODY: usize = 64 << 10;

/// Takes lines for the log of the update that the device is at. This is no part of hawkBit's API: 404 tells a device that
/// there is none, as it tells it of a server that has no such resource.
pub(super) async fn put(
    door: Door,
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, Refusal> {
    let kind = request.headers().get(CONTENT_TYPE);
    if !kind.is_none_or(|kind| {
        kind.as_bytes()
            .to_ascii_lowercase()
            .starts_with(b"text/plain")
    }) {
        return Err(Refusal::UnsupportedMediaType);
    }
    let reading = Bytes::from_request(request, &state);
    let body = match timeout(state.settings.request_timeout, reading).await {
        Ok(Ok(body)) => body,
        Ok(Err(BytesRejection::FailedToBufferBody(_))) => return Err(Refusal::TooLarge),
        Ok(Err(broken)) => return Err(Refusal::malformed(broken.body_text())),
        Err(_) => return Err(Refusal::TimedOut),
    };
    let text = String::from_utf8_lossy(&body);
    devices::report_log(&state.engine, &door.caller, &text).await?;
    Ok(StatusCode::OK.into_response())
}
