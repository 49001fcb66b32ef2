//! Records of call inputs and outputs: canonical JSON, compressed.
//!
//! Canonical means that the fields are in the order of the contract, without whitespace, so the same input has the same
//! bytes on every server. The compression is raw DEFLATE at its fastest level. The JSON is what is compared and hashed,
//! since a newer compressor may produce other bytes.
//!
//! A record is one DEFLATE stream. If the plugin's state is large, its bytes are left out of the JSON and follow as a second
//! stream.

use std::{cell::RefCell, io, io::Read as _};

use flate2::{Compress, Compression, FlushCompress, Status, bufread::DeflateDecoder};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_engine::ports::Record;

/// Maximum size of a decompressed record.
const MAX_DECOMPRESSED_BYTES: u64 = 256 << 20;

/// Texts of at most this size, such as most decisions, are stored as they are: preparing the compressor clears 128 KiB,
/// to save some fifty bytes.
const MAX_STORED_BYTES: usize = 512;

/// States of less than this size stay in the text.
const MIN_STATE_BYTES: usize = 1024;

/// What precedes the bytes of a state in the text. No other field of the contract has this name, and the quotes in texts
/// are escaped.
const STATE: &str = r#""state":["#;

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
    #[error("the record has a state without a place for it")]
    State,
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

/// Records a text.
pub(crate) fn compress(json: &str) -> Record {
    match split_state(json) {
        Some((text, state)) => Record::with_state(deflate(text.as_bytes()), &deflate(&state)),
        None => Record::whole(deflate(json.as_bytes())),
    }
}

/// The text of a record.
pub(crate) fn decompress(record: &[u8]) -> Result<String, InvalidRecord> {
    let (text, state) = inflate(record)?;
    let invalid = |error| InvalidRecord::Compression(io::Error::other(error));
    let text = String::from_utf8(text).map_err(invalid)?;
    if state.is_empty() {
        return Ok(text);
    }
    let (state, rest) = inflate(state)?;
    match text.rfind(STATE) {
        Some(at) if rest.is_empty() => Ok(insert_bytes(&text, at + STATE.len(), &state)),
        _ => Err(InvalidRecord::State),
    }
}

/// The text without the bytes of its last state, and these bytes, if they are many.
fn split_state(json: &str) -> Option<(String, Vec<u8>)> {
    // A byte is at least a digit and a comma.
    if json.len() < 2 * MIN_STATE_BYTES {
        return None;
    }
    let start = json.rfind(STATE)? + STATE.len();
    let is_end = |digit: char| !digit.is_ascii_digit() && digit != ',';
    let end = start + json[start..].find(is_end)?;
    let state =
        bytes_of(&json.as_bytes()[start..end]).filter(|state| state.len() >= MIN_STATE_BYTES)?;
    Some(([&json[..start], &json[end..]].concat(), state))
}

/// The bytes of a list of numbers as [`insert_bytes`] writes it.
fn bytes_of(list: &[u8]) -> Option<Vec<u8>> {
    let value = |digits: &[u8]| {
        let number = |sum: u16, digit: &u8| 10 * sum + u16::from(digit - b'0');
        u8::try_from(digits.iter().fold(0, number)).ok()
    };
    let numbers = list.split(|byte| *byte == b',');
    let bytes = numbers.map(|digits| match digits {
        [_] | [b'1'..=b'9', _] | [b'1'..=b'9', _, _] => value(digits),
        _ => None,
    });
    bytes.collect()
}

/// The text with these bytes as a list of numbers at this place.
fn insert_bytes(text: &str, at: usize, bytes: &[u8]) -> String {
    let mut joined = String::with_capacity(text.len() + 4 * bytes.len());
    joined.push_str(&text[..at]);
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            joined.push(',');
        }
        let digits = [byte / 100, byte / 10 % 10, byte % 10].map(|digit| char::from(b'0' + digit));
        let leading = match byte {
            0..=9 => 2,
            10..=99 => 1,
            100.. => 0,
        };
        joined.extend(&digits[leading..]);
    }
    joined.push_str(&text[at..]);
    joined
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    if bytes.len() <= MAX_STORED_BYTES {
        return store(bytes);
    }
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        // Incompressible input grows: stored blocks add five bytes per 16 KiB, and a few at the end.
        let mut out = Vec::with_capacity(bytes.len() / 2 + 64);
        loop {
            let done = compressor.total_in() as usize;
            match compressor.compress_vec(&bytes[done..], &mut out, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => return out,
                Ok(Status::Ok | Status::BufError) => out.reserve(bytes.len() / 2 + 64),
                Err(error) => unreachable!("compression does not fail on any input: {error}"),
            }
        }
    })
}

/// DEFLATE's stored block, the last of its stream (RFC 1951, section 3.2.4).
fn store(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() as u16;
    let (length, complement) = (length.to_le_bytes(), (!length).to_le_bytes());
    [&[1], &length[..], &complement[..], bytes].concat()
}

/// The bytes of a DEFLATE stream, and what follows it.
fn inflate(stream: &[u8]) -> Result<(Vec<u8>, &[u8]), InvalidRecord> {
    let mut decoder = DeflateDecoder::new(stream);
    let mut bytes = Vec::new();
    let limited = &mut decoder.by_ref().take(MAX_DECOMPRESSED_BYTES + 1);
    let read = limited.read_to_end(&mut bytes);
    read.map_err(InvalidRecord::Compression)?;
    if bytes.len() as u64 > MAX_DECOMPRESSED_BYTES {
        return Err(InvalidRecord::TooLarge);
    }
    Ok((bytes, decoder.into_inner()))
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
            let record = compress(text);
            assert_eq!(compress(text), record, "compression is deterministic");
            assert_eq!(decompress(&record).expect("the record is valid"), text);
        }
    }

    fn decision(state: &[u8]) -> String {
        let state = serde_json::to_string(state).expect("a list of numbers");
        format!(
            r#"{{"call":"decide","answer":{{"Ok":{{"config":"{{\"state\":[1]}}","state":{state},"explain":["é"]}}}}}}"#
        )
    }

    /// `decompress` joins what `compress` has split.
    #[test]
    fn a_large_state_is_apart() {
        let state: Vec<u8> = (0..70_000_u32)
            .map(|n| (n.wrapping_mul(n) >> 3) as u8)
            .collect();
        let record = compress(&decision(&state));
        let (text, apart) = record.parts();
        assert_eq!(
            (inflate(apart).expect("a stream").0, text.len() < 512),
            (state.clone(), true)
        );
        assert_eq!(decompress(&record).expect("a record"), decision(&state));

        let other = decision(&state).replace("decide", "evaluate");
        let other = compress(&other);
        assert_eq!(other.parts().1, apart);
        assert_ne!(other.parts().0, text);
    }

    #[test]
    fn a_small_state_stays_in_the_text() {
        for length in [0, 1, MIN_STATE_BYTES - 1, MIN_STATE_BYTES] {
            let text = decision(&vec![255; length]);
            let record = compress(&text);
            assert_eq!(record.parts().1.is_empty(), length < MIN_STATE_BYTES);
            assert_eq!(decompress(&record).expect("a record"), text);
        }
    }

    /// A record is the text bit for bit, whatever wrote it.
    #[test]
    fn numbers_that_are_no_canonical_bytes_stay_in_the_text() {
        let bytes = vec!["7"; 3 * MIN_STATE_BYTES].join(",");
        for other in ["256", "07", "007", "1000", ""] {
            let text = format!(r#"{{"state":[{bytes},{other}]}}"#);
            let record = compress(&text);
            assert!(record.parts().1.is_empty(), "{other}");
            assert_eq!(decompress(&record).expect("a record"), text);
        }
    }

    #[test]
    fn invalid_records_are_refused() {
        let state = deflate(&[7]);
        assert!(decompress(&[deflate(b"{}"), state.clone()].concat()).is_err());
        let text = deflate(br#"{"state":[]}"#);
        let joined = [text, state].concat();
        assert_eq!(decompress(&joined).expect("a record"), r#"{"state":[7]}"#);
        assert!(decompress(&[joined, vec![0]].concat()).is_err());

        assert!(decompress(b"\xff\xff\xff").is_err());
        assert!(decompress(b"").is_err());
    }
}
