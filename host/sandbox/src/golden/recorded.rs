//! The question of a recorded call as a golden: `{"call", "input", "expect"}`.

use serde_json::value::RawValue;
use tidegate_core::Named as _;

use super::case::Case;
use crate::{
    record::{self, InvalidRecord, RawRecordedInput, RawRecordedOutput, RecordedInput},
    since_1_0::{
        AssignInput, CallInput, CallName, CheckInput, HealthInput, Observation, PlanInput,
    },
};

/// Converts a recorded input, and the output that is expected of it, to a golden. The record has the contract's types in
/// the same serde form as goldens; that it has them is checked here.
pub(crate) fn recorded_golden(
    input: &[u8],
    output: Option<&[u8]>,
) -> Result<String, InvalidRecord> {
    let input = record::decompress(input)?;
    let output = output.map(record::decompress).transpose()?;
    let output = output.as_deref().map(serde_json::from_str);
    let output: Option<RawRecordedOutput<'_>> = output.transpose()?;
    let expect = output.map(|output| output.answer);
    let recorded: RawRecordedInput<'_> = serde_json::from_str(&input)?;
    let Ok(call) = recorded.call.parse::<CallName>() else {
        return Err(InvalidRecord::Call(recorded.call.to_owned()));
    };
    Ok(match call {
        CallName::Plan => to_json::<PlanInput>(&input, expect)?,
        CallName::Assign => to_json::<AssignInput>(&input, expect)?,
        CallName::Decide => to_json::<Observation>(&input, expect)?,
        CallName::Check => to_json::<CheckInput>(&input, expect)?,
        CallName::Evaluate => to_json::<HealthInput>(&input, expect)?,
    })
}

fn to_json<Q: CallInput>(
    input: &str,
    expect: Option<&RawValue>,
) -> Result<String, serde_json::Error> {
    let recorded: RecordedInput<'_, Q> = serde_json::from_str(input)?;
    serde_json::to_string(&Case {
        call: Q::CALL.as_str().to_owned(),
        input: recorded.input,
        expect,
    })
}
