//! A body that is observed while it is read. Unlike a mapped one, it keeps the size that is known of it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// What is read next: none at the end.
type NextFrame<B> = Option<Result<Frame<Bytes>, <B as HttpBody>::Error>>;

pub(crate) struct ObservedBody<B, F> {
    body: B,
    observe: F,
}

impl<B, F> ObservedBody<B, F>
where
    B: HttpBody<Data = Bytes> + Unpin,
    F: FnMut(&B, &NextFrame<B>) + Unpin,
{
    /// Calls `observe` with the body and each frame that was read from it, also with an error and with its end.
    pub(crate) fn new(body: B, observe: F) -> Self {
        Self { body, observe }
    }
}

impl<B, F> HttpBody for ObservedBody<B, F>
where
    B: HttpBody<Data = Bytes> + Unpin,
    F: FnMut(&B, &NextFrame<B>) + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        (this.observe)(&this.body, &frame);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
