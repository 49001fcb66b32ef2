//! Replays recorded calls.

use tidegate_core::id::Digest;
use tidegate_engine::ports::{Call, CallFailure, CallLimits, CallRecord, Record};

use crate::{plugin::Plugin, versions::Recorded};

impl Plugin {
    /// Repeats a call with a recorded input, under today's limits. The new record has the same input and the new output.
    pub fn replay(&self, input: &[u8]) -> Call<()> {
        self.replay_within(input, None)
    }

    /// As [`Self::replay`], under the limits of the recorded call.
    pub(crate) fn replay_within(&self, input: &[u8], limits: Option<CallLimits>) -> Call<()> {
        let recorded = match Recorded::read(input) {
            Ok(recorded) => recorded,
            Err(error) => return Call::failed(CallFailure::InvalidRecord(error.to_string())),
        };
        let record = CallRecord {
            input_digest: Some(Digest::of(recorded.json.as_bytes())),
            input: Record::whole(input.to_vec()),
            output: Record::default(),
            limits,
        };
        let question = recorded.question;
        question.repeat(self.contract(), self.component(), record)
    }
}
