//! Records of assignments.
//!
//! A page may have a million rows, and its record is stored in the journal, so the columns of long pages are recorded
//! as digests. Such a record proves the input and the output of the call, but cannot be replayed.

use serde::{Serialize, Serializer};
use tidegate_core::{Named as _, id::Digest};

use super::{
    AssignInput, CallName,
    bindings::{exports::tidegate::plugin::rollout::Wave, tidegate::plugin::types},
};
use crate::record::{RecordedInput, RecordedOutput};

/// Maximum number of rows of a page that is recorded in full.
const MAX_INLINE_ROWS: usize = 4096;

/// [`AssignInput`] with its columns in either form. The order of the fields is the same.
#[derive(Serialize)]
struct RecordedAssignInput<'a> {
    context: &'a types::Context,
    config: &'a str,
    waves: &'a [Wave],
    groups: &'a [String],
    classes: &'a [types::DeviceClass],
    group: Column<'a, u16>,
    class: Column<'a, u32>,
    place: Column<'a, u32>,
}

pub(super) fn record_input(input: &AssignInput) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&RecordedInput {
        call: CallName::Assign.as_str(),
        input: RecordedAssignInput {
            context: &input.context,
            config: &input.config,
            waves: &input.waves,
            groups: &input.groups,
            classes: &input.classes,
            group: Column(&input.group),
            class: Column(&input.class),
            place: Column(&input.place),
        },
    })
}

pub(super) fn record_output(output: Result<&Vec<u16>, &str>) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&RecordedOutput {
        call: CallName::Assign.as_str(),
        answer: output.map(|waves| Column(waves)),
    })
}

/// A column: serialized in full, or as `{"rows": ..., "digest": "sha256:..."}` over its numbers in little-endian order.
struct Column<'a, T>(&'a [T]);

impl<T: LittleEndian + Serialize> Serialize for Column<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct ColumnDigest {
            rows: usize,
            digest: String,
        }
        if self.0.len() <= MAX_INLINE_ROWS {
            return self.0.serialize(serializer);
        }
        ColumnDigest {
            rows: self.0.len(),
            digest: column_digest(self.0).to_string(),
        }
        .serialize(serializer)
    }
}

/// A number that can be written in little-endian order.
trait LittleEndian: Copy {
    fn write(self, bytes: &mut Vec<u8>);
}

impl LittleEndian for u16 {
    fn write(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_le_bytes());
    }
}

impl LittleEndian for u32 {
    fn write(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_le_bytes());
    }
}

fn column_digest<T: LittleEndian>(column: &[T]) -> Digest {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    let mut bytes = Vec::with_capacity(64 << 10);
    for rows in column.chunks(16 << 10) {
        bytes.clear();
        for number in rows {
            number.write(&mut bytes);
        }
        hash.update(&bytes);
    }
    Digest(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_columns_are_recorded_by_digest() {
        let json = |column: &[u16]| serde_json::to_value(Column(column)).expect("it serializes");
        assert_eq!(json(&[1, 2]), serde_json::json!([1, 2]));
        let long = vec![513_u16; 40_000];
        let bytes = [1, 2].repeat(40_000);
        assert_eq!(
            json(&long),
            serde_json::json!({"rows": 40_000, "digest": Digest::of(&bytes).to_string()})
        );
    }
}
