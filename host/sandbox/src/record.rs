//! Records of call inputs and outputs: canonical JSON, compressed.
//!
//! Canonical means that the fields are in the order of the contract, without whitespace, so the same input has the same
//! bytes on every server. The JSON is what is compared and hashed, since a newer compressor may produce other bytes.
//!
//! A record is one compressed part. If the plugin's state is large, its bytes are left out of the JSON and follow as a second
//! part.

mod compression;

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_engine::ports::Record;

use self::compression::InvalidPart;

/// States of less than this size stay in the text.
const MIN_STATE_BYTES: usize = 1024;

/// What precedes the bytes of a state in the text. No other field of the contract has this name, and the quotes in texts
/// are escaped.
const STATE: &str = r#""state":["#;

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidRecord {
    #[error(transparent)]
    Part(#[from] InvalidPart),
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
        Some((text, state)) => Record::with_state(
            compression::compress(text.as_bytes()),
            &compression::compress(&state),
        ),
        None => Record::whole(compression::compress(json.as_bytes())),
    }
}

/// The text of a record.
pub(crate) fn decompress(record: &[u8]) -> Result<String, InvalidRecord> {
    let (text, state) = compression::decompress(record)?;
    let invalid = |error| InvalidPart::Compression(io::Error::other(error));
    let text = String::from_utf8(text).map_err(invalid)?;
    if state.is_empty() {
        return Ok(text);
    }
    let (state, rest) = compression::decompress(state)?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
            (
                compression::decompress(apart).expect("a part").0,
                text.len() < 512
            ),
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
        let part = compression::compress;
        let state = part(&[7]);
        assert!(decompress(&[part(b"{}"), state.clone()].concat()).is_err());
        let joined = [part(br#"{"state":[]}"#), state].concat();
        assert_eq!(decompress(&joined).expect("a record"), r#"{"state":[7]}"#);
        assert!(decompress(&[joined, vec![0]].concat()).is_err());
        assert!(decompress(b"").is_err());
    }
}
