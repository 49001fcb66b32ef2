use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::{
    AppState, body_timeout,
    problem::Result,
    rest::{json, size_limit::SizeLimit},
};

/// The body of a request with an idempotency key.
pub(super) enum RequestBody {
    /// Read completely.
    Buffered(Bytes),
    /// A multipart body, read as it arrives.
    Streamed(Body),
}

impl RequestBody {
    /// Reads the body, unless it is multipart.
    pub(super) async fn read(headers: &HeaderMap, body: Body, state: &AppState) -> Result<Self> {
        if media_type(headers).starts_with("multipart/") {
            return Ok(Self::Streamed(body));
        }
        let max_body = SizeLimit::fixed(state.settings.max_json_bytes);
        let body = body_timeout::with_idle_timeout(body, state);
        json::read_body(body, max_body).await.map(Self::Buffered)
    }

    pub(super) fn into_body(self) -> Body {
        match self {
            Self::Buffered(bytes) => Body::from(bytes),
            Self::Streamed(body) => body,
        }
    }

    /// Reads and discards the rest of a multipart body, because most clients read the response only after sending the
    /// whole request. Stops when the client is idle for too long or sends more than the largest upload.
    pub(super) async fn drain(self, state: &AppState) {
        let Self::Streamed(mut body) = self else {
            return;
        };
        let idle_timeout = state.settings.upload_idle_timeout;
        let mut left = state.engine.settings().max_artifact_bytes;
        while let Ok(Some(Ok(frame))) = timeout(idle_timeout, body.frame()).await {
            let size = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(size as u64) else {
                return;
            };
            left = rest;
        }
    }
}

/// The media type of a body without its parameters, in lower case; empty if there is none.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.unwrap_or_default().trim().to_ascii_lowercase()
}
