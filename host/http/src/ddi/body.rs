use axum::extract::{
    DefaultBodyLimit, FromRequest, Request,
    rejection::{BytesRejection, FailedToBufferBody},
};
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use serde::de::DeserializeOwned;

use super::error::DdiError;
use crate::{AppState, body_timeout, content_coding::is_encoded};

/// Maximum size of a body, in bytes. Fifty messages in any language are far smaller.
const MAX_BODY: usize = 1 << 20;

/// A body in JSON or CBOR. Unknown members are ignored.
pub(super) struct DdiBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<AppState> for DdiBody<T> {
    type Rejection = DdiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, DdiError> {
        let encoding =
            Encoding::from_headers(request.headers()).ok_or(DdiError::UnsupportedMediaType)?;
        encoding
            .decode(&read_bytes(request, state, MAX_BODY).await?)
            .map(Self)
    }
}

/// A body that may be empty: then it is the default, and the media type is ignored.
pub(super) struct OptionalBody<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<AppState> for OptionalBody<T> {
    type Rejection = DdiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, DdiError> {
        let encoding = Encoding::from_headers(request.headers());
        let bytes = read_bytes(request, state, MAX_BODY).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        let encoding = encoding.ok_or(DdiError::UnsupportedMediaType)?;
        encoding.decode(&bytes).map(Self)
    }
}

pub(super) async fn read_bytes(
    mut request: Request,
    state: &AppState,
    max: usize,
) -> Result<Bytes, DdiError> {
    if is_encoded(request.headers()) {
        return Err(DdiError::UnsupportedMediaType);
    }
    DefaultBodyLimit::max(max).apply(&mut request);
    // The body may be slow as long as it arrives.
    let request = request.map(|body| body_timeout::with_idle_timeout(body, state));
    match Bytes::from_request(request, state).await {
        Ok(bytes) => Ok(bytes),
        Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_))) => {
            Err(DdiError::TooLarge)
        }
        Err(error) if body_timeout::is_timeout(&error) => Err(DdiError::TimedOut),
        Err(error) => Err(DdiError::malformed(error.body_text())),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Cbor,
}

impl Encoding {
    fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = text.split(';').next()?.trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Some(Self::Json)
        } else if essence.eq_ignore_ascii_case("application/cbor") {
            Some(Self::Cbor)
        } else {
            None
        }
    }

    pub(super) fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, DdiError> {
        match self {
            Self::Json => serde_json::from_slice(bytes)
                .map_err(|error| DdiError::malformed(format!("invalid body: {error}"))),
            Self::Cbor => ciborium::from_reader(bytes)
                .map_err(|error| DdiError::malformed(format!("invalid body: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_json_and_cbor_are_accepted() {
        for (value, expected) in [
            ("application/json", Some(Encoding::Json)),
            ("Application/Json;charset=UTF-8", Some(Encoding::Json)),
            ("application/cbor", Some(Encoding::Cbor)),
            ("application/hal+json", None),
            ("text/plain", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(Encoding::from_headers(&headers), expected, "{value}");
        }
        assert_eq!(Encoding::from_headers(&HeaderMap::new()), None);
    }
}
