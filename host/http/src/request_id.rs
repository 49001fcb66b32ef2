//! Ids of requests: a client's `X-Request-Id`, or else an id that is unique over all servers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::extract::Request;
use http::{HeaderName, HeaderValue};
use tidegate_engine::ports::Entropy;
use tower_http::request_id::{MakeRequestId, RequestId};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Maximum length of a client's id.
pub(crate) const MAX_ID_BYTES: usize = 128;
/// The server's random part, and the number of the request.
const ID_BYTES: usize = 16;

/// Makes the ids of requests that have none. An id costs no system call and one allocation.
#[derive(Clone)]
pub(crate) struct RequestIds(Arc<ServerIds>);

struct ServerIds {
    server: [u8; 8],
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut server = [0; 8];
        entropy.fill(&mut server);
        let next = AtomicU64::new(0);
        Self(Arc::new(ServerIds { server, next }))
    }
}

impl MakeRequestId for RequestIds {
    fn make_request_id<B>(&mut self, _: &http::Request<B>) -> Option<RequestId> {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; ID_BYTES];
        id[..8].copy_from_slice(&self.0.server);
        id[8..].copy_from_slice(&number.to_be_bytes());
        let mut text = [0; ID_BYTES * 2];
        hex::encode_to_slice(id, &mut text).ok()?;
        HeaderValue::from_bytes(&text).ok().map(RequestId::new)
    }
}

/// Removes a client's id unless it is a single one of 1 to 128 visible ASCII characters, so that ids are safe in logs.
pub(crate) fn discard_invalid_id(mut request: Request) -> Request {
    let mut values = request.headers().get_all(X_REQUEST_ID).iter();
    let is_valid = match (values.next(), values.next()) {
        (Some(id), None) => is_valid(id.as_bytes()),
        (None, _) => true,
        (Some(_), Some(_)) => false,
    };
    if !is_valid {
        request.headers_mut().remove(X_REQUEST_ID);
    }
    request
}

fn is_valid(id: &[u8]) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// The id as text.
pub(crate) fn as_str(id: &HeaderValue) -> &str {
    // Ids are visible ASCII.
    id.to_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    struct FixedEntropy;

    impl Entropy for FixedEntropy {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xab);
        }
    }

    #[test]
    fn ids_are_numbered() {
        let mut ids = RequestIds::new(&FixedEntropy);
        let mut other = ids.clone();
        let request = Request::new(Body::empty());
        for (ids, expected) in [
            (&mut ids, "abababababababab0000000000000000"),
            (&mut other, "abababababababab0000000000000001"),
        ] {
            let id = ids.make_request_id(&request).expect("an id");
            assert_eq!(id.header_value(), expected);
        }
    }

    #[test]
    fn only_a_single_id_of_visible_ascii_characters_is_kept() {
        let longest = "~".repeat(MAX_ID_BYTES);
        let too_long = "x".repeat(MAX_ID_BYTES + 1);
        for (ids, is_kept) in [
            (&["!"][..], true),
            (&[&longest], true),
            (&[], false),
            (&[""], false),
            (&[&too_long], false),
            (&["a b"], false),
            (&["a\tb"], false),
            (&["ä"], false),
            (&["a", "b"], false),
        ] {
            let mut request = Request::new(Body::empty());
            for id in ids {
                let id = HeaderValue::from_bytes(id.as_bytes()).expect("a header value");
                request.headers_mut().append(X_REQUEST_ID, id);
            }
            let request = discard_invalid_id(request);
            let kept = request.headers().contains_key(X_REQUEST_ID);
            assert_eq!(kept, is_kept, "{ids:?}");
        }
    }
}
