//! Ids of requests: a client's `X-Request-Id`, or else an id that is unique over all servers.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::Request;
use http::{HeaderName, HeaderValue};
use tidegate_engine::ports::Entropy;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Maximum length of a client's id.
pub(crate) const MAX_ID_BYTES: usize = 128;
/// The server's random part, and the number of the request.
const ID_BYTES: usize = 16;

/// Makes the ids of requests that have none. An id costs no system call and one allocation.
pub(crate) struct RequestIds {
    server: [u8; 8],
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut server = [0; 8];
        entropy.fill(&mut server);
        let next = AtomicU64::new(0);
        Self { server, next }
    }

    fn next(&self) -> Option<HeaderValue> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; ID_BYTES];
        id[..8].copy_from_slice(&self.server);
        id[8..].copy_from_slice(&number.to_be_bytes());
        let mut text = [0; ID_BYTES * 2];
        hex::encode_to_slice(id, &mut text).ok()?;
        HeaderValue::from_bytes(&text).ok()
    }
}

/// The id of a request, in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) HeaderValue);

/// Gives the request its id: the client's if it is safe in logs, or else a new one.
pub(crate) fn assign(ids: &RequestIds, request: &mut Request) -> HeaderValue {
    let id = client_id(request).or_else(|| ids.next());
    let id = id.unwrap_or(HeaderValue::from_static("none"));
    request.extensions_mut().insert(RequestId(id.clone()));
    id
}

/// The client's id, if it is a single one of 1 to 128 visible ASCII characters.
fn client_id(request: &Request) -> Option<HeaderValue> {
    let mut values = request.headers().get_all(X_REQUEST_ID).iter();
    match (values.next(), values.next()) {
        (Some(id), None) if is_valid(id.as_bytes()) => Some(id.clone()),
        _ => None,
    }
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
        let ids = RequestIds::new(&FixedEntropy);
        for expected in [
            "abababababababab0000000000000000",
            "abababababababab0000000000000001",
        ] {
            let mut request = Request::new(Body::empty());
            let id = assign(&ids, &mut request);
            assert_eq!(id, expected);
            let RequestId(kept) = request.extensions().get().expect("an id");
            assert_eq!(kept, expected);
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
            let id = assign(&RequestIds::new(&FixedEntropy), &mut request);
            assert_eq!(ids.contains(&as_str(&id)), is_kept, "{ids:?}");
        }
    }
}
