use http::request::Parts;
use sha2::{Digest as _, Sha256};

use super::body::{Sent, media_type};

/// What tells a request from another. Files are left out: they cannot be compared before they are read, and are not kept
/// to be compared with. So is the boundary between them, which clients draw anew each time.
pub(super) fn of(parts: &Parts, sent: &Sent) -> [u8; 32] {
    let target = parts.uri.path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    let media_type = media_type(&parts.headers);
    let body: &[u8] = match sent {
        Sent::Whole(bytes) => bytes,
        Sent::Files(_) => &[],
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

    fn fingerprint(target: &str, content_type: &str, body: &'static str) -> [u8; 32] {
        let request = Request::post(target).header(CONTENT_TYPE, content_type);
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let sent = if content_type.starts_with("multipart/") {
            Sent::Files(Body::from(body))
        } else {
            Sent::Whole(body.into())
        };
        of(&parts, &sent)
    }

    #[test]
    fn requests_are_told_apart() {
        let json = "application/json";
        let one = fingerprint("/devices?a=1", json, "{}");
        for same in ["Application/JSON", "application/json; charset=utf-8"] {
            assert_eq!(one, fingerprint("/devices?a=1", same, "{}"));
        }
        for (target, content_type, body) in [
            ("/devices?a=2", json, "{}"),
            ("/devices", json, "{}"),
            ("/gateways?a=1", json, "{}"),
            ("/devices?a=1", "application/merge-patch+json", "{}"),
            ("/devices?a=1", json, "{ }"),
            ("/devices?a=1", json, ""),
        ] {
            assert_ne!(one, fingerprint(target, content_type, body), "{target}");
        }
        assert_eq!(
            fingerprint("/firmware", "multipart/form-data; boundary=a", "--a"),
            fingerprint("/firmware", "multipart/form-data; boundary=b", "--b"),
        );
    }
}
