//! Replays recorded calls.

use tidegate_core::{id::Digest, visible_text::visible};
use tidegate_engine::ports::{Call, CallFailure, CallLimits, CallRecord};

use crate::{
    engine::FUEL_COSTS,
    limits::{MAX_REASON_BYTES, truncate},
    plugin::Plugin,
    record::{self, RawRecordedInput, RecordedInput},
    since_1_0::{
        AssignInput, CallInput, CallName, CheckInput, HealthInput, Observation, PlanInput,
    },
};

impl Plugin {
    /// Repeats a call with a recorded input, under today's limits. The new record has the same input and the new output.
    pub fn replay(&self, input: &[u8]) -> Call<()> {
        self.replay_within(input, None)
    }

    /// As [`Self::replay`], under the limits of the recorded call.
    pub(crate) fn replay_within(&self, input: &[u8], limits: Option<CallLimits>) -> Call<()> {
        let invalid_record =
            |error: &dyn std::fmt::Display| CallFailure::InvalidRecord(error.to_string());
        let json = match record::decompress(input) {
            Ok(json) => json,
            Err(error) => return Call::failed(invalid_record(&error)),
        };
        let recorded: RawRecordedInput<'_> = match serde_json::from_str(&json) {
            Ok(recorded) => recorded,
            Err(error) => return Call::failed(invalid_record(&error)),
        };
        let Ok(call) = recorded.call.parse::<CallName>() else {
            return Call::failed(invalid_record(&format_args!(
                "unknown call `{}`",
                visible(truncate(recorded.call, MAX_REASON_BYTES))
            )));
        };
        let record = CallRecord {
            input_digest: Some(Digest::of(json.as_bytes())),
            input: input.to_vec(),
            output: Vec::new(),
            fuel_costs: FUEL_COSTS,
            limits,
        };
        match call {
            CallName::Plan => replay_input::<PlanInput>(self, &json, record),
            CallName::Assign => replay_input::<AssignInput>(self, &json, record),
            CallName::Decide => replay_input::<Observation>(self, &json, record),
            CallName::Check => replay_input::<CheckInput>(self, &json, record),
            CallName::Evaluate => replay_input::<HealthInput>(self, &json, record),
        }
    }
}

fn replay_input<Q: CallInput>(plugin: &Plugin, json: &str, record: CallRecord) -> Call<()> {
    match serde_json::from_str::<RecordedInput<'_, Q>>(json) {
        Ok(recorded) => plugin
            .call_recorded(&recorded.input, record)
            .and_then(|_| Ok(())),
        Err(_) if Q::CALL == CallName::Assign => Call::failed(CallFailure::InvalidRecord(
            "an earlier version of the server recorded the columns of a long page as digests only"
                .to_owned(),
        )),
        Err(error) => Call::failed(CallFailure::InvalidRecord(error.to_string())),
    }
}
