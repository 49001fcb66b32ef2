//! A body that is observed while it is read. Unlike a mapped one, it keeps the size that is known of it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tracing::Span;

/// A body of at most this size is written to the socket at once.
pub(crate) const SMALL_BODY: u64 = 16 << 10;

/// Whether the body is sent at once.
pub(crate) fn is_small(body: &impl HttpBody) -> bool {
    let size = body.size_hint().exact();
    size.is_some_and(|bytes| bytes <= SMALL_BODY)
}

/// What is read next: none at the end.
type NextFrame<B> = Option<Result<Frame<Bytes>, <B as HttpBody>::Error>>;

pub(crate) struct ObservedBody<B, F> {
    body: B,
    observe: F,
    span: Span,
}

impl<B, F> ObservedBody<B, F>
where
    B: HttpBody<Data = Bytes> + Unpin,
    F: FnMut(&B, Poll<&NextFrame<B>>) + Unpin,
{
    /// Calls `observe` with the body and what each poll of it returns: a frame, an error, its end, or that it is pending.
    pub(crate) fn new(body: B, observe: F) -> Self {
        Self {
            body,
            observe,
            span: Span::none(),
        }
    }

    /// Reads the body in this span.
    pub(crate) fn in_span(self, span: Span) -> Self {
        Self { span, ..self }
    }
}

impl<B, F> HttpBody for ObservedBody<B, F>
where
    B: HttpBody<Data = Bytes> + Unpin,
    F: FnMut(&B, Poll<&NextFrame<B>>) + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let _entered = this.span.enter();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        let frame = match &polled {
            Poll::Ready(frame) => Poll::Ready(frame),
            Poll::Pending => Poll::Pending,
        };
        (this.observe)(&this.body, frame);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
