use std::{
    fs::File,
    io::{self, IoSliceMut},
    iter, mem,
    ops::Range,
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{GetResult, GetResultPayload};
use rustix::io::{ReadWriteFlags, preadv2};
use tidegate_engine::ports::ByteStream;

/// Size of one read. Each download holds up to two chunks in memory.
const CHUNK_BYTES: u64 = 128 << 10;

/// Streams the content of an object.
pub(crate) fn from_object(object: GetResult) -> ByteStream {
    match object.payload {
        // object_store's own stream reads only 8 KiB per hop to a blocking thread.
        GetResultPayload::File(file, _) => {
            let reader = FileReader {
                file: Arc::new(file),
                rest: object.range,
                buffers: Default::default(),
            };
            stream::try_unfold(reader, FileReader::next).boxed()
        }
        GetResultPayload::Stream(stream) => stream.map_err(io::Error::from).boxed(),
    }
}

/// Reads a file into two buffers in turns: one is filled while the other is being sent.
struct FileReader {
    file: Arc<File>,
    rest: Range<u64>,
    buffers: [Arc<[u8]>; 2],
}

impl FileReader {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let start = self.rest.start;
        let length = CHUNK_BYTES.min(self.rest.end - start) as usize;
        self.buffers.swap(0, 1);
        let mut buffer = mem::take(&mut self.buffers[0]);
        if Arc::get_mut(&mut buffer).is_none_or(|free| free.len() < length) {
            buffer = iter::repeat_n(0, length).collect();
        }
        let slice = IoSliceMut::new(&mut Arc::make_mut(&mut buffer)[..length]);
        // What the kernel has in memory is read at once; only for the rest another thread waits.
        let cached = preadv2(&*self.file, &mut [slice], start, ReadWriteFlags::NOWAIT);
        let read = match cached {
            Ok(read) if read > 0 => read,
            _ => {
                let file = Arc::clone(&self.file);
                let read = move || {
                    file.read_exact_at(&mut Arc::make_mut(&mut buffer)[..length], start)?;
                    io::Result::Ok(buffer)
                };
                buffer = tokio::task::spawn_blocking(read).await??;
                length
            }
        };
        self.buffers[0] = Arc::clone(&buffer);
        self.rest.start += read as u64;
        Ok(Some((Bytes::from_owner(buffer).slice(..read), self)))
    }
}
