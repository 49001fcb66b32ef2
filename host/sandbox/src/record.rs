//! Records of call inputs and outputs: canonical JSON, compressed.
//!
//! Canonical means that the fields are in the order of the contract, without whitespace, so the same input has the same
//! bytes on every server. The compression is raw DEFLATE at its fastest level. The JSON is what is compared and hashed,
//! since a newer compressor may produce other bytes.

use std::{cell::RefCell, io::Read as _};

use flate2::{Compress, Compression, FlushCompress, Status, read::DeflateDecoder};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Maximum size of a decompressed record.
const MAX_DECOMPRESSED_BYTES: u64 = 256 << 20;

/// Texts of at most this size, such as most decisions, are stored as they are: preparing the compressor clears 128 KiB,
/// to save some fifty bytes.
const MAX_STORED_BYTES: usize = 512;

thread_local! {
    /// Reused, since creating a compressor takes longer than compressing a few kilobytes.
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidRecord {
    #[error("decompress the record: {0}")]
    Compression(#[source] std::io::Error),
    #[error("the decompressed record is larger than {MAX_DECOMPRESSED_BYTES} bytes")]
    TooLarge,
    #[error("parse the record: {0}")]
    Json(#[from] serde_json::Error),
    #[error("an earlier version of the server recorded the columns of a long page as digests only")]
    Digests,
    #[error("unknown call `{0}`")]
    Call(String),
    #[error("it was recorded for version {0} of the contract; this server reads {1}")]
    Version(String, String),
}

/// The recorded form of a call's input.
#[derive(Serialize, Deserialize)]
pub(crate) struct RecordedInput<'a, T> {
    /// The version of the contract; `None`: 1.0.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) contract: Option<&'a str>,
    pub(crate) call: &'a str,
    pub(crate) input: T,
}

/// The recorded form of a call's output: `Ok`, or the plugin's own error as `Err`.
#[derive(Serialize)]
pub(crate) struct RecordedOutput<'a, T> {
    pub(crate) call: &'a str,
    pub(crate) answer: Result<T, &'a str>,
}

/// A recorded output that is not parsed yet.
#[derive(Deserialize)]
pub(crate) struct RawRecordedOutput<'a> {
    #[serde(borrow)]
    pub(crate) answer: &'a RawValue,
}

/// A recorded input that is not parsed yet.
pub(crate) type RawRecordedInput<'a> = RecordedInput<'a, &'a RawValue>;

pub(crate) fn compress(json: &[u8]) -> Vec<u8> {
    if json.len() <= MAX_STORED_BYTES {
        return store(json);
    }
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        // Incompressible input grows: stored blocks add five bytes per 16 KiB, and a few at the end.
        let mut out = Vec::with_capacity(json.len() / 2 + 64);
        loop {
            let done = compressor.total_in() as usize;
            match compressor.compress_vec(&json[done..], &mut out, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => return out,
                Ok(Status::Ok | Status::BufError) => out.reserve(json.len() / 2 + 64),
                Err(error) => unreachable!("compression does not fail on any input: {error}"),
            }
        }
    })
}

/// DEFLATE's stored block, the last of its stream (RFC 1951, section 3.2.4).
fn store(json: &[u8]) -> Vec<u8> {
    let length = json.len() as u16;
    let (length, complement) = (length.to_le_bytes(), (!length).to_le_bytes());
    [&[1], &length[..], &complement[..], json].concat()
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
        let around_limit = [0, 1].map(|more| "a".repeat(MAX_STORED_BYTES + more));
        let [stored, compressed] = &around_limit;
        for text in [
            "",
            "{}",
            stored,
            compressed,
            &"tide ".repeat(50_000),
            &noise,
        ] {
            let record = compress(text.as_bytes());
            assert_eq!(
                compress(text.as_bytes()),
                record,
                "compression is deterministic"
            );
            assert_eq!(decompress(&record).expect("the record is valid"), text);
        }
    }

    #[test]
    fn invalid_records_are_refused() {
        assert!(decompress(b"\xff\xff\xff").is_err());
        assert!(decompress(b"").is_err());
    }
}
