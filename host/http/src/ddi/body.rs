use axum::extract::{
    FromRequest, Request,
    rejection::{BytesRejection, FailedToBufferBody},
};
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::refusal::Refusal;
use crate::AppState;

/// A body in JSON or CBOR. What nobody asked for in it is ignored.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<AppState> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Refusal> {
        let encoding = Encoding::of(request.headers()).ok_or(Refusal::UnsupportedMediaType)?;
        let reading = Bytes::from_request(request, state);
        let bytes = match timeout(state.settings.request_timeout, reading).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(
                _,
            )))) => {
                return Err(Refusal::TooLarge);
            }
            Ok(Err(broken)) => return Err(Refusal::malformed(broken.body_text())),
            Err(_) => return Err(Refusal::TimedOut),
        };
        encoding.read(&bytes).map(Self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Cbor,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Option<Self> {
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

    pub(super) fn read<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, Refusal> {
        match self {
            Self::Json => serde_json::from_slice(bytes).map_err(|error| {
                Refusal::malformed(format!("the body is not as it should be: {error}"))
            }),
            Self::Cbor => ciborium::from_reader(bytes).map_err(|error| {
                Refusal::malformed(format!("the body is not as it should be: {error}"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_json_and_cbor_are_taken() {
        for (value, expected) in [
            ("application/json", Some(Encoding::Json)),
            ("Application/Json;charset=UTF-8", Some(Encoding::Json)),
            ("application/cbor", Some(Encoding::Cbor)),
            ("application/hal+json", None),
            ("text/plain", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(Encoding::of(&headers), expected, "{value}");
        }
        assert_eq!(Encoding::of(&HeaderMap::new()), None);
    }
}
