//! What a handler leaves of the body of an HTTP/1 request. The connection can be used again only after it was read.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
};
use bytes::Bytes;
use http::Version;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::timeout;

/// A body up to this size is read to its end although nothing uses it: a new connection would cost more.
const MAX_DRAINED_BYTES: u64 = 16 << 10;
/// Maximum time for the rest of such a body to arrive.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// How much of a larger body is read, and for how long, while its client receives the response.
const MAX_DISCARDED_BYTES: u64 = 64 << 20;
const DISCARD_LIMIT: Duration = Duration::from_secs(5);

/// The body of a request, once its handler has left it.
pub(crate) struct UnreadBody(Arc<Mutex<Option<Body>>>);

impl UnreadBody {
    /// `None`: the request has no body, or does not hold up the next one of its connection.
    pub(crate) fn of(request: &mut Request) -> Option<Self> {
        if request.version() >= Version::HTTP_2 || request.body().is_end_stream() {
            return None;
        }
        let unread = Arc::<Mutex<Option<Body>>>::default();
        let body = ReturnedBody {
            body: std::mem::take(request.body_mut()),
            is_read: false,
            unread: Arc::clone(&unread),
        };
        *request.body_mut() = Body::new(body);
        Some(Self(unread))
    }

    /// Reads what is left, if it is small. Returns false if the body was not read to its end: the response has to end the
    /// connection. Then more of the body is read and discarded while the response is sent. If the server closed a connection
    /// on which the client still sends, the client's system would report that, and could drop the response.
    pub(crate) async fn drain(self) -> bool {
        let Some(mut unread) = self.0.lock().take() else {
            return true;
        };
        let size = unread.size_hint().upper();
        if size.is_some_and(|bytes| bytes <= MAX_DRAINED_BYTES) {
            let reading = read(&mut unread, MAX_DRAINED_BYTES);
            if timeout(DRAIN_LIMIT, reading).await == Ok(true) {
                return true;
            }
        }
        tokio::spawn(async move {
            let reading = read(&mut unread, MAX_DISCARDED_BYTES);
            let _ = timeout(DISCARD_LIMIT, reading).await;
        });
        false
    }
}

/// Reads a body and discards it, up to this size. True: to its end.
async fn read(body: &mut Body, max_bytes: u64) -> bool {
    let mut bytes = 0;
    while bytes <= max_bytes {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
        match frame {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
        }
    }
    false
}

/// A body that is returned to [`UnreadBody`] unless it is read to its end.
struct ReturnedBody {
    body: Body,
    is_read: bool,
    unread: Arc<Mutex<Option<Body>>>,
}

impl Drop for ReturnedBody {
    fn drop(&mut self) {
        if !self.is_read {
            *self.unread.lock() = Some(std::mem::take(&mut self.body));
        }
    }
}

impl HttpBody for ReturnedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.is_read =
            matches!(polled, Poll::Ready(None | Some(Err(_)))) || self.body.is_end_stream();
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
