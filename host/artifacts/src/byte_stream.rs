use std::{fs::File, io, ops::Range, os::unix::fs::FileExt as _, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{GetResult, GetResultPayload};
use tidegate_engine::ports::ByteStream;

/// Size of one read. Each download holds up to two chunks in memory.
const CHUNK_BYTES: u64 = 128 << 10;

/// Streams the content of an object.
pub(crate) fn from_object(object: GetResult) -> ByteStream {
    match object.payload {
        // object_store's own stream reads only 8 KiB per hop to a blocking thread.
        GetResultPayload::File(file, _) => read_file(Arc::new(file), object.range),
        GetResultPayload::Stream(stream) => stream.map_err(io::Error::from).boxed(),
    }
}

/// Reads the next chunk while the previous one is being sent.
fn read_file(file: Arc<File>, range: Range<u64>) -> ByteStream {
    let end = range.end;
    let starts = (range.start..end).step_by(CHUNK_BYTES as usize);
    stream::iter(starts)
        .map(move |start| read_chunk(Arc::clone(&file), start..end.min(start + CHUNK_BYTES)))
        .buffered(2)
        .boxed()
}

async fn read_chunk(file: Arc<File>, piece: Range<u64>) -> io::Result<Bytes> {
    let read = move || {
        let mut bytes = vec![0; (piece.end - piece.start) as usize];
        file.read_exact_at(&mut bytes, piece.start)?;
        Ok(Bytes::from(bytes))
    };
    tokio::task::spawn_blocking(read).await?
}
