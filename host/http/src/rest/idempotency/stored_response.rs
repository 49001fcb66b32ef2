use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION},
};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tidegate_engine::{Error, Result};

/// The headers that are stored. All others are created for each response.
const STORED_HEADERS: [HeaderName; 4] = [CONTENT_TYPE, LOCATION, ETAG, CACHE_CONTROL];
const DECODE: &str = "decode a stored response";

/// The first line of a stored response; the body follows verbatim.
#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
}

/// Returns the encoded response, and the response itself with its body restored.
pub(super) async fn encode(response: Response) -> Result<(Vec<u8>, Response)> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await;
    let body = body.map_err(|error| Error::internal("read a response body", error))?;
    let body = body.to_bytes();
    let headers = STORED_HEADERS.iter().filter_map(|name| {
        let value = parts.headers.get(name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    let head = Head {
        status: parts.status.as_u16(),
        headers: headers.collect(),
    };
    let head = serde_json::to_vec(&head);
    let mut stored = head.map_err(|error| Error::internal("encode a response", error))?;
    stored.push(b'\n');
    stored.extend_from_slice(&body);
    Ok((stored, Response::from_parts(parts, Body::from(body))))
}

pub(super) fn decode(stored: &[u8]) -> Result<Response> {
    let end = stored.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| Error::internal(DECODE, "no header line"))?;
    let head: Head =
        serde_json::from_slice(&stored[..end]).map_err(|error| Error::internal(DECODE, error))?;
    let mut response = Response::new(Body::from(Bytes::copy_from_slice(&stored[end + 1..])));
    *response.status_mut() =
        StatusCode::from_u16(head.status).map_err(|error| Error::internal(DECODE, error))?;
    for (name, value) in head.headers {
        let name = HeaderName::try_from(name).map_err(|error| Error::internal(DECODE, error))?;
        let value = HeaderValue::try_from(value).map_err(|error| Error::internal(DECODE, error))?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_response_survives_encoding() {
        let response = Response::builder()
            .status(201)
            .header(CONTENT_TYPE, "application/json")
            .header(LOCATION, "/api/v1/devices/pi-1")
            .header("x-request-id", "7")
            .body(Body::from("{\n}\n"))
            .expect("a response");
        let (stored, response) = encode(response).await.expect("an encoded response");
        assert_eq!(response.headers()["x-request-id"], "7");
        let again = decode(&stored).expect("a decoded response");
        assert_eq!(again.status(), 201);
        assert_eq!(again.headers()[LOCATION], "/api/v1/devices/pi-1");
        assert_eq!(again.headers().len(), 2, "{:?}", again.headers());
        for response in [response, again] {
            let body = response.into_body().collect().await.expect("a body");
            assert_eq!(body.to_bytes(), "{\n}\n");
        }
        assert!(decode(b"{}").is_err() && decode(b"{}\n").is_err() && decode(b"").is_err());
    }
}
