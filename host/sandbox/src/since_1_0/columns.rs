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
    page: types::Page,
    group: Column<'a>,
    class: Column<'a>,
    place: Column<'a>,
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
            page: input.page,
            group: Column(&input.group),
            class: Column(&input.class),
            place: Column(&input.place),
        },
    })
}

pub(super) fn record_output(output: Result<&Vec<u32>, &str>) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&RecordedOutput {
        call: CallName::Assign.as_str(),
        answer: output.map(|waves| Column(waves)),
    })
}

/// A column: serialized in full, or as `{"rows": ..., "digest": "sha256:..."}` over its numbers in little-endian order.
struct Column<'a>(&'a [u32]);

impl Serialize for Column<'_> {
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

fn column_digest(column: &[u32]) -> Digest {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    let mut bytes = Vec::with_capacity(64 << 10);
    for rows in column.chunks(16 << 10) {
        bytes.clear();
        for number in rows {
            bytes.extend_from_slice(&number.to_le_bytes());
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
        let json = |column: &[u32]| serde_json::to_value(Column(column)).expect("it serializes");
        assert_eq!(json(&[1, 2]), serde_json::json!([1, 2]));
        let long = vec![0x0403_0201; 40_000];
        let bytes = [1, 2, 3, 4].repeat(40_000);
        assert_eq!(
            json(&long),
            serde_json::json!({"rows": 40_000, "digest": Digest::of(&bytes).to_string()})
        );
    }
}
