//! The calls that are recorded: those of the worlds, and `wants`, whose answer they need.

use serde::{Serialize, de::DeserializeOwned};
use tidegate_core::{Named as _, id::Digest};
use tidegate_engine::ports::{Call, CallFailure, CallLimits, CallRecord, Record};
use wasmtime::component::{ComponentType, Lift, Lower};

use super::question::Question;
use crate::{
    failure::{plugin_error, truncated_reason},
    limits::{Budget, SandboxLimits},
    linked_component::LinkedComponent,
    names::CallName,
    record::{self, RecordedInput, RecordedOutput},
};

/// The input of a call in the types of one version of the contract. Its type determines the call.
pub(crate) trait CallInput:
    Serialize
    + DeserializeOwned
    + PartialEq
    + From<<Self as CallInput>::Question>
    + Send
    + Sync
    + 'static
{
    /// What the function takes.
    type Param: ComponentType + Lower + ?Sized;
    /// The input in the domain's types.
    type Question: Question;
    /// The output of the call.
    type Output: ComponentType
        + Lift
        + Serialize
        + DeserializeOwned
        + PartialEq
        + Clone
        + Send
        + Sync
        + 'static;

    /// The input as the function takes it.
    fn param(&self) -> &Self::Param;

    /// The limits of the call.
    fn budget(&self, limits: &SandboxLimits) -> Budget;

    /// Checks the bounds of an output that do not depend on the campaign, and converts it. The checker applies the
    /// campaign's rules.
    fn accept(&self, output: Self::Output) -> Result<AnswerTo<Self>, String>;

    /// The domain's form of a recorded input. The error says what this server does not know of it.
    fn question(&self) -> Result<Self::Question, String>;

    /// This version's form of an answer.
    fn output(answer: AnswerTo<Self>) -> Self::Output;
}

/// The answer to an input, in the domain's types.
pub(crate) type AnswerTo<I> = <<I as CallInput>::Question as Question>::Answer;

/// The call that takes an input.
pub(super) fn call_of<I: CallInput>() -> CallName {
    I::Question::CALL
}

/// Calls a component, and records input and output.
pub(super) fn ask<I: CallInput>(
    component: &LinkedComponent,
    input: &I,
    limits: Option<CallLimits>,
) -> Call<AnswerTo<I>> {
    match record_input(input, component.names().in_records) {
        Ok(json) => {
            let record = CallRecord {
                input: record::compress(&json),
                input_digest: Some(Digest::of(json.as_bytes())),
                output: Record::default(),
                limits,
            };
            ask_recorded(component, input, record)
        }
        Err(error) => Call::failed(CallFailure::Host(format!("write the input: {error}"))),
    }
}

/// Calls a component with an input that is already recorded, under the limits of the record or, without them, under
/// today's. Adds the limits and the output to the record.
pub(super) fn ask_recorded<I: CallInput>(
    component: &LinkedComponent,
    input: &I,
    mut record: CallRecord,
) -> Call<AnswerTo<I>> {
    let today = input.budget(component.limits());
    let recorded = record.limits;
    let budget = recorded.map_or(today, |recorded| today.with_call_limits(recorded));
    record.limits = Some(budget.call_limits());
    let call = run(component, input, &budget).and_then(|output| {
        record.output = record_output::<I>(output.as_ref().map_err(String::as_str))?;
        let output = output.map_err(|text| plugin_error(&text))?;
        input.accept(output).map_err(CallFailure::InvalidAnswer)
    });
    Call { record, ..call }
}

/// Runs the call of an input. Its output is not checked yet; the inner error is the plugin's own.
pub(super) fn run<I: CallInput>(
    component: &LinkedComponent,
    input: &I,
    budget: &Budget,
) -> Call<Result<I::Output, String>> {
    let call: Call<(Result<I::Output, String>,)> =
        component.run(call_of::<I>(), (input.param(),), budget);
    call.and_then(|(output,)| Ok(output.map_err(truncated_reason)))
}

/// The recorded form of an input, JSON text.
pub(super) fn record_input<I: CallInput>(
    input: &I,
    contract: Option<&str>,
) -> serde_json::Result<String> {
    serde_json::to_string(&RecordedInput {
        contract,
        call: call_of::<I>().as_str(),
        input,
    })
}

/// The record of an output, or of the plugin's own error.
pub(super) fn record_output<I: CallInput>(
    output: Result<&I::Output, &str>,
) -> Result<Record, CallFailure> {
    let recorded = RecordedOutput {
        call: call_of::<I>().as_str(),
        answer: output,
    };
    serde_json::to_string(&recorded)
        .map(|json| record::compress(&json))
        .map_err(|error| CallFailure::Host(format!("record the output: {error}")))
}
