//! Checks of configs in separate processes.
//!
//! A schema is untrusted, and the validator has no limit on the time that it takes. The bounds of a schema rule out what
//! is known to be slow; what is not known yet ends with the process that it is in. A process is kept for the next
//! checks, together with the schemas that it has compiled, so that a check costs no start of a process.
//!
//! The server writes a request to the child's standard input and reads the response from its standard output. Each is a
//! frame: its length in four bytes, little-endian, then JSON.

mod child;
mod parent;

pub(crate) use child::check_child;
pub(crate) use parent::SchemaChecker;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Environment variable of the child: its CPU time limit for each request, in seconds.
const CPU_SECONDS_VAR: &str = "CHECK_CPU_SECONDS";
/// Environment variable of the child: its address space limit in bytes.
const MEMORY_BYTES_VAR: &str = "CHECK_MEMORY_BYTES";
/// Address space of a child. Most of it is the program itself, the stacks and what the allocator reserves.
const MEMORY_BYTES: u64 = 1 << 30;
/// Maximum size of a frame: more than a config and a schema have, with every character escaped.
const MAX_FRAME_BYTES: u32 = 4 << 20;
/// Size of a frame's length.
const LENGTH_BYTES: usize = 4;

/// A request to the child.
#[derive(Debug, Serialize, Deserialize)]
struct Request<'a> {
    /// The schema's text, with each request: the child finds by it what it has compiled.
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    task: CheckTask<'a>,
}

/// What the child does with the schema.
#[derive(Debug, Serialize, Deserialize)]
enum CheckTask<'a> {
    /// Finds the errors of a config, JSON text.
    Check {
        #[serde(borrow)]
        config: Cow<'a, str>,
    },
    /// Builds a valid config.
    Example,
}

/// The child's response.
#[derive(Debug, Serialize, Deserialize)]
enum Response {
    /// The text is not a config schema, with the reason.
    InvalidSchema(String),
    /// The errors of the config: path and message.
    Errors(Vec<(String, String)>),
    /// A valid config, JSON text, if one can be built.
    Example(Option<String>),
}

/// A message as a frame.
fn encode_frame(message: &impl Serialize) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame_length((frame.len() - LENGTH_BYTES) as u64)?;
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// The length of a frame, if it is allowed.
fn frame_length(bytes: u64) -> std::io::Result<u32> {
    u32::try_from(bytes)
        .ok()
        .filter(|length| *length <= MAX_FRAME_BYTES)
        .ok_or_else(|| std::io::Error::other(format!("a frame of {bytes} bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MAX_CONFIG_BYTES, MAX_SCHEMA_BYTES};

    #[test]
    fn the_largest_request_fits_into_a_frame() {
        let request = Request {
            schema: "\u{1}".repeat(MAX_SCHEMA_BYTES).into(),
            task: CheckTask::Check {
                config: "\u{1}".repeat(MAX_CONFIG_BYTES).into(),
            },
        };
        let frame = encode_frame(&request).expect("it fits");
        assert!(frame.len() > 6 * MAX_CONFIG_BYTES);
        let parsed: Request<'_> =
            serde_json::from_slice(&frame[LENGTH_BYTES..]).expect("it is JSON");
        assert_eq!(parsed.schema, request.schema);
        let too_large = "x".repeat(MAX_FRAME_BYTES as usize);
        assert!(encode_frame(&too_large).is_err());
    }
}
