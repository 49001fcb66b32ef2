use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::{
    AppState,
    problem::Result,
    rest::{handler_timeout, json},
};

/// The body of a request with a key.
pub(super) enum RequestBody {
    /// It was read to its end.
    Buffered(Bytes),
    /// Files, which are read as they arrive.
    Streamed(Body),
}

impl RequestBody {
    /// Reads a body, unless it is files.
    pub(super) async fn read(headers: &HeaderMap, body: Body, state: &AppState) -> Result<Self> {
        if media_type(headers).starts_with("multipart/") {
            return Ok(Self::Streamed(body));
        }
        let limit = state.settings.request_timeout;
        let read = timeout(limit, json::read_body(body, state.settings.max_json_bytes)).await;
        let read = read.map_err(|_| handler_timeout(limit))?;
        read.map(Self::Buffered)
    }

    pub(super) fn into_body(self) -> Body {
        match self {
            Self::Buffered(bytes) => Body::from(bytes),
            Self::Streamed(body) => body,
        }
    }

    /// Reads what nobody needs: most clients look for an answer only once they have sent everything. Whoever falls
    /// silent, or sends more than any upload has, is not listened to.
    pub(super) async fn drain(self, state: &AppState) {
        let Self::Streamed(mut body) = self else {
            return;
        };
        let idle_timeout = state.settings.upload_idle_timeout;
        let mut left = state.engine.settings.max_artifact_bytes;
        while let Ok(Some(Ok(frame))) = timeout(idle_timeout, body.frame()).await {
            let size = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(size as u64) else {
                return;
            };
            left = rest;
        }
    }
}

/// The type of a body without its parameters, in lower case; empty when there is none.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.unwrap_or_default().trim().to_ascii_lowercase()
}
