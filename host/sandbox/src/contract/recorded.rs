//! Recorded inputs, which are asked again.

use serde_json::value::RawValue;
use tidegate_core::Named as _;
use tidegate_engine::ports::{Call, CallFailure, CallRecord};

use super::{
    CallInput, Contract, RecordedQuestion,
    call_input::{ask_recorded, call_of, record_output},
    case::Case,
    question::Question as _,
};
use crate::{
    linked_component::LinkedComponent,
    names::CallName,
    record::{InvalidRecord, RecordedInput},
};

/// A recorded input of a call.
pub(super) struct TypedQuestion<I> {
    contract: Option<String>,
    input: I,
}

impl<I: CallInput> TypedQuestion<I> {
    pub(super) fn parse(json: &str) -> Result<Self, InvalidRecord> {
        match serde_json::from_str::<RecordedInput<'_, I>>(json) {
            Ok(recorded) => Ok(Self {
                contract: recorded.contract.map(str::to_owned),
                input: recorded.input,
            }),
            Err(_) if call_of::<I>() == CallName::Assign => Err(InvalidRecord::Digests),
            Err(error) => Err(InvalidRecord::Json(error)),
        }
    }

    /// Asks a component of another version.
    fn ask(
        &self,
        contract: &dyn Contract,
        component: &LinkedComponent,
        record: CallRecord,
    ) -> Call<()> {
        let question = match self.question() {
            Ok(question) => question,
            Err(why) => {
                let minor = contract.names().minor;
                return Call::failed(CallFailure::InvalidRecord(format!(
                    "its input cannot be converted for a plugin of version {minor} of the contract: {why}"
                )));
            }
        };
        let mut call = question.ask(contract, component, record.limits);
        let mut record = CallRecord {
            limits: call.record.limits,
            ..record
        };
        if let Err(CallFailure::PluginError(_)) = &call.outcome {
            // It has the same form in each version.
            record.output = std::mem::take(&mut call.record.output);
        }
        let call = call.and_then(|answer| {
            record.output = record_output::<I>(Ok(&I::output(answer)))?;
            Ok(())
        });
        Call { record, ..call }
    }

    /// The input in the domain's types, if these have all of it.
    fn question(&self) -> Result<I::Question, String> {
        let question = self.input.question()?;
        if I::from(question.clone()) == self.input {
            Ok(question)
        } else {
            Err("it has parts that this server does not know".to_owned())
        }
    }
}

impl<I: CallInput> RecordedQuestion for TypedQuestion<I> {
    fn repeat(
        &self,
        contract: &dyn Contract,
        component: &LinkedComponent,
        record: CallRecord,
    ) -> Call<()> {
        if contract.names().in_records == self.contract.as_deref() {
            ask_recorded(component, &self.input, record).and_then(|_| Ok(()))
        } else {
            self.ask(contract, component, record)
        }
    }

    fn golden(&self, expect: Option<&RawValue>) -> serde_json::Result<String> {
        serde_json::to_string(&Case {
            contract: self.contract.clone(),
            call: call_of::<I>().as_str().to_owned(),
            input: &self.input,
            expect,
        })
    }
}
