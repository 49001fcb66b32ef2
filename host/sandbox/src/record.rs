//! Records of questions and answers: canonical JSON, compressed.
//!
//! Canonical means that the fields stand in the order of the contract, without white space, so the same question has
//! the same bytes on every host. The compression is raw DEFLATE at its fastest level; what is compared and hashed is
//! the JSON, for a newer compressor may make other bytes of it.

use std::{cell::RefCell, io::Read as _};

use flate2::{Compress, Compression, FlushCompress, Status, read::DeflateDecoder};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The most that a record may unfold to.
const MAX_DECOMPRESSED_BYTES: u64 = 256 << 20;

thread_local! {
    /// Making a compressor costs more than using it on a question of a few kilobytes.
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidRecord {
    #[error("unfold the record: {0}")]
    Compression(#[source] std::io::Error),
    #[error("the record unfolds to more than {MAX_DECOMPRESSED_BYTES} bytes")]
    TooLarge,
    #[error("parse the record: {0}")]
    Json(#[from] serde_json::Error),
}

/// A question as it is recorded.
#[derive(Serialize, Deserialize)]
pub(crate) struct RecordedInput<'a, T> {
    pub(crate) call: &'a str,
    pub(crate) input: T,
}

/// An answer as it is recorded: what was answered as `Ok`, or the plugin's own words as `Err`.
#[derive(Serialize)]
pub(crate) struct RecordedOutput<'a, T> {
    pub(crate) call: &'a str,
    pub(crate) answer: Result<T, &'a str>,
}

/// A recorded question whose input is still text.
pub(crate) type RawRecordedInput<'a> = RecordedInput<'a, &'a RawValue>;

pub(crate) fn compress(json: &[u8]) -> Vec<u8> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        // Stored blocks are the worst case: five bytes for every 16 KiB at the least, and a little for the end.
        let mut out = Vec::with_capacity(json.len() / 2 + 64);
        loop {
            let done = compressor.total_in() as usize;
            match compressor.compress_vec(&json[done..], &mut out, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => return out,
                Ok(Status::Ok | Status::BufError) => out.reserve(json.len() / 2 + 64),
                Err(error) => unreachable!("compressing cannot fail by its input: {error}"),
            }
        }
    })
}

pub(crate) fn decompress(record: &[u8]) -> Result<String, InvalidRecord> {
    let mut json = String::new();
    DeflateDecoder::new(record)
        .take(MAX_DECOMPRESSED_BYTES + 1)
        .read_to_string(&mut json)
        .map_err(InvalidRecord::Compression)?;
    if json.len() as u64 > MAX_DECOMPRESSED_BYTES {
        return Err(InvalidRecord::TooLarge);
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_records_round_trip() {
        let noise: String = (0..40_000_u32)
            .map(|n| char::from(b' ' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 90))
            .collect();
        for text in ["", "{}", &"tide ".repeat(50_000), &noise] {
            let record = compress(text.as_bytes());
            assert_eq!(compress(text.as_bytes()), record, "the same again");
            assert_eq!(decompress(&record).expect("it was just made"), text);
        }
    }

    #[test]
    fn invalid_records_are_refused() {
        assert!(decompress(b"\xff\xff\xff").is_err());
        assert!(decompress(b"").is_err());
    }
}
