use std::{io, ops::Range};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, future, stream};
use tidegate_engine::ports::ByteStream;

/// The boundary between parts; the same as hawkBit's.
const BOUNDARY: &str = "THIS_STRING_SEPARATES_MULTIPART";

/// `Content-Type` of a multipart response.
pub(super) const CONTENT_TYPE: &str =
    "multipart/byteranges; boundary=THIS_STRING_SEPARATES_MULTIPART";

/// Length of the multipart body.
pub(super) fn length(parts: &[Range<u64>], size: u64) -> u64 {
    let parts = parts
        .iter()
        .map(|part| head(part, size).len() as u64 + part.end - part.start);
    parts.sum::<u64>() + end().len() as u64
}

/// The multipart body. Each part is opened when it is about to be sent; `first` is the first part, already open.
pub(super) fn stream<F, Fut>(
    parts: Vec<Range<u64>>,
    size: u64,
    first: ByteStream,
    open: F,
) -> impl Stream<Item = io::Result<Bytes>> + Send
where
    F: Fn(Range<u64>) -> Fut + Send,
    Fut: Future<Output = io::Result<ByteStream>> + Send,
{
    let mut first = Some(first);
    let parts = stream::iter(parts).flat_map(move |part| {
        let head = head(&part, size);
        let bytes = match first.take() {
            Some(first) => future::Either::Left(future::ready(Ok(first))),
            None => future::Either::Right(open(part)),
        };
        let bytes = stream::once(bytes).try_flatten();
        stream::once(future::ready(Ok(head))).chain(bytes)
    });
    parts.chain(stream::once(future::ready(Ok(end()))))
}

fn head(part: &Range<u64>, size: u64) -> Bytes {
    let (first, last) = (part.start, part.end - 1);
    let head = format!(
        "\r\n--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\
         Content-Range: bytes {first}-{last}/{size}\r\n\r\n"
    );
    head.into()
}

fn end() -> Bytes {
    format!("\r\n--{BOUNDARY}--\r\n").into()
}
