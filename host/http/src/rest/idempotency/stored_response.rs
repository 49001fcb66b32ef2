use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION},
};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tidegate_engine::{Error, Result};

/// What is stored of an answer's head. The rest is made anew for each.
const STORED_HEADERS: [HeaderName; 4] = [CONTENT_TYPE, LOCATION, ETAG, CACHE_CONTROL];
const DECODE: &str = "read a kept answer";

/// The first line of a kept answer; its body follows as it is.
#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
}

/// An answer as it is stored, and the answer.
pub(super) async fn encode(answer: Response) -> Result<(Vec<u8>, Response)> {
    let (parts, body) = answer.into_parts();
    let body = body.collect().await;
    let body = body.map_err(|error| Error::internal("write an answer", error))?;
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
    let mut stored = head.map_err(|error| Error::internal("keep an answer", error))?;
    stored.push(b'\n');
    stored.extend_from_slice(&body);
    Ok((stored, Response::from_parts(parts, Body::from(body))))
}

/// The answer that was stored.
pub(super) fn decode(stored: &[u8]) -> Result<Response> {
    let end = stored.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| Error::internal(DECODE, "it has no head"))?;
    let head: Head =
        serde_json::from_slice(&stored[..end]).map_err(|error| Error::internal(DECODE, error))?;
    let mut answer = Response::new(Body::from(Bytes::copy_from_slice(&stored[end + 1..])));
    *answer.status_mut() =
        StatusCode::from_u16(head.status).map_err(|error| Error::internal(DECODE, error))?;
    for (name, value) in head.headers {
        let name = HeaderName::try_from(name).map_err(|error| Error::internal(DECODE, error))?;
        let value = HeaderValue::try_from(value).map_err(|error| Error::internal(DECODE, error))?;
        answer.headers_mut().insert(name, value);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_response_survives_encoding() {
        let answer = Response::builder()
            .status(201)
            .header(CONTENT_TYPE, "application/json")
            .header(LOCATION, "/api/v1/devices/pi-1")
            .header("x-request-id", "7")
            .body(Body::from("{\n}\n"))
            .expect("an answer");
        let (stored, answer) = encode(answer).await.expect("it is written");
        assert_eq!(answer.headers()["x-request-id"], "7");
        let again = decode(&stored).expect("it is read");
        assert_eq!(again.status(), 201);
        assert_eq!(again.headers()[LOCATION], "/api/v1/devices/pi-1");
        assert_eq!(again.headers().len(), 2, "{:?}", again.headers());
        for answer in [answer, again] {
            let body = answer.into_body().collect().await.expect("a body");
            assert_eq!(body.to_bytes(), "{\n}\n");
        }
        assert!(decode(b"{}").is_err() && decode(b"{}\n").is_err() && decode(b"").is_err());
    }
}
