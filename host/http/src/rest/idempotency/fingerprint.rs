use http::request::Parts;
use sha2::{Digest as _, Sha256};

use super::body::{RequestBody, media_type};

/// Identifies a request by method, target, media type and body. Multipart bodies are left out: they cannot be compared
/// before they are read, and are not kept for comparison. So are their boundaries, which clients choose at random.
pub(super) fn fingerprint(parts: &Parts, request_body: &RequestBody) -> [u8; 32] {
    let target = parts.uri.path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    let media_type = media_type(&parts.headers);
    let body: &[u8] = match request_body {
        RequestBody::Buffered(bytes) => bytes,
        RequestBody::Streamed(_) => &[],
    };
    let mut hash = Sha256::new();
    for part in [
        parts.method.as_str().as_bytes(),
        target.as_bytes(),
        media_type.as_bytes(),
        body,
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Request, header::CONTENT_TYPE};

    use super::*;

    fn post_fingerprint(target: &str, content_type: &str, body: &'static str) -> [u8; 32] {
        let request = Request::post(target).header(CONTENT_TYPE, content_type);
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let request_body = if content_type.starts_with("multipart/") {
            RequestBody::Streamed(Body::from(body))
        } else {
            RequestBody::Buffered(body.into())
        };
        fingerprint(&parts, &request_body)
    }

    #[test]
    fn different_requests_have_different_fingerprints() {
        let json = "application/json";
        let one = post_fingerprint("/devices?a=1", json, "{}");
        for same in ["Application/JSON", "application/json; charset=utf-8"] {
            assert_eq!(one, post_fingerprint("/devices?a=1", same, "{}"));
        }
        for (target, content_type, body) in [
            ("/devices?a=2", json, "{}"),
            ("/devices", json, "{}"),
            ("/gateways?a=1", json, "{}"),
            ("/devices?a=1", "application/merge-patch+json", "{}"),
            ("/devices?a=1", json, "{ }"),
            ("/devices?a=1", json, ""),
        ] {
            assert_ne!(
                one,
                post_fingerprint(target, content_type, body),
                "{target}"
            );
        }
        assert_eq!(
            post_fingerprint("/firmware", "multipart/form-data; boundary=a", "--a"),
            post_fingerprint("/firmware", "multipart/form-data; boundary=b", "--b"),
        );
    }
}
