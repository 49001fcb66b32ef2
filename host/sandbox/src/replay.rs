//! Replays recorded calls, and encodes inputs given as JSON.

use tidegate_core::{Named as _, id::Digest};
use tidegate_engine::ports::{Call, CallFailure, CallLimits, CallRecord};

use crate::{
    engine::FUEL_COSTS,
    plugin::Plugin,
    record::{self, RawRecordedInput, RecordedInput},
    since_1_0::{
        AssignInput, CallInput, CallName, CheckInput, HealthInput, Observation, PlanInput,
    },
};

/// Why JSON is not an input of the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCallInput {
    /// The contract has no such call.
    #[error("unknown call `{0}`; the calls are plan, assign, decide, check and evaluate")]
    Call(String),
    /// The input does not match the call's type.
    #[error("invalid input of `{call}`: {error}")]
    Input {
        /// Name of the call.
        call: &'static str,
        /// The error, with its position.
        error: String,
    },
}

/// Encodes an input for [`Plugin::replay`]. The JSON has fields in `snake_case` and cases in `CamelCase`.
pub fn encode_input(call: &str, input: &str) -> Result<Vec<u8>, InvalidCallInput> {
    fn encode<Q: CallInput>(input: &str) -> Result<Vec<u8>, InvalidCallInput> {
        serde_json::from_str::<Q>(input)
            .and_then(|input| input.record())
            .map(|json| record::compress(&json))
            .map_err(|error| InvalidCallInput::Input {
                call: Q::CALL.as_str(),
                error: error.to_string(),
            })
    }
    match call.parse() {
        Ok(CallName::Plan) => encode::<PlanInput>(input),
        Ok(CallName::Assign) => encode::<AssignInput>(input),
        Ok(CallName::Decide) => encode::<Observation>(input),
        Ok(CallName::Check) => encode::<CheckInput>(input),
        Ok(CallName::Evaluate) => encode::<HealthInput>(input),
        Err(_) => Err(InvalidCallInput::Call(call.to_owned())),
    }
}

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
            return Call::failed(invalid_record(&InvalidCallInput::Call(
                recorded.call.to_owned(),
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
