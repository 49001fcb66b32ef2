use std::io;

use crate::error::{ImageError, Result};

/// Random access to the bytes of an image.
pub trait ImageSource {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Fills `into` from offset `at`. Callers do not read past the end.
    fn read_at(&mut self, at: u64, into: &mut [u8]) -> io::Result<()>;
}

impl ImageSource for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = self.get(start..).and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Read-ahead size: headers of small files are close together.
const WINDOW_BYTES: u64 = 16 << 10;

/// A source up to a given end, with a read-ahead buffer.
pub(crate) struct BufferedSource<'a> {
    source: &'a mut dyn ImageSource,
    end: u64,
    start: u64,
    read: Vec<u8>,
}

impl<'a> BufferedSource<'a> {
    /// Restricts the source to the bytes before `end`.
    pub(crate) fn new(source: &'a mut dyn ImageSource, end: u64) -> Self {
        let end = end.min(source.size());
        Self {
            source,
            end,
            start: 0,
            read: Vec::new(),
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Returns `count` bytes from offset `at`. The caller has checked `count` against a limit.
    pub(crate) fn bytes(&mut self, at: u64, count: usize) -> Result<&[u8]> {
        let length = count as u64;
        let is_in_range = at.checked_add(length).is_some_and(|end| end <= self.end);
        if !is_in_range {
            let message = format!("truncated: {length} bytes are missing at byte {at}");
            return Err(ImageError::damaged(message));
        }
        let has = at >= self.start && at + length <= self.start + self.read.len() as u64;
        if !has {
            let ahead = length.max(WINDOW_BYTES).min(self.end - at);
            self.read.clear();
            self.read.resize(ahead as usize, 0);
            self.start = at;
            if let Err(error) = self.source.read_at(at, &mut self.read) {
                self.read.clear();
                return Err(error.into());
            }
        }
        let from = (at - self.start) as usize;
        Ok(&self.read[from..from + count])
    }

    /// Returns an array from offset `at`.
    pub(crate) fn array<const COUNT: usize>(&mut self, at: u64) -> Result<[u8; COUNT]> {
        let mut array = [0; COUNT];
        array.copy_from_slice(self.bytes(at, COUNT)?);
        Ok(array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_beyond_the_end_are_refused() {
        let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let mut source = &bytes[..];
        let mut buffered = BufferedSource::new(&mut source, 99_999);
        for (at, count) in [
            (0, 10),
            (5, 10),
            (70_000, 20_000),
            (99_989, 10),
            (3, 1),
            (99_999, 0),
        ] {
            let found = buffered.bytes(at, count).expect("bytes in range");
            assert_eq!(found, &bytes[at as usize..at as usize + count]);
        }
        for (at, count) in [(99_990, 10), (99_999, 1), (u64::MAX, 1), (200_000, 0)] {
            assert!(buffered.bytes(at, count).is_err(), "{at} {count}");
        }
    }
}
