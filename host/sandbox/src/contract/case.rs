//! A golden of one call, and the result of running it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_core::Named as _;
use tidegate_engine::ports::{Call, CallFailure};

use super::{AnyCase, difference::differences, typed_call::TypedCall};
use crate::{limits::Budget, linked_component::LinkedComponent, names::CallName};

/// The fields of a golden, in the order in which goldens are written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case<I, O> {
    /// The version of the contract; `None`: 1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) contract: Option<String>,
    pub(super) call: String,
    pub(super) input: I,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expect: Option<O>,
}

/// A call that was made with the input of a golden.
#[derive(Debug)]
pub struct GoldenRun {
    /// The output, or why there is none.
    pub outcome: Result<GoldenOutput, CallFailure>,
    /// Units of fuel consumed.
    pub fuel: u64,
    /// Units of fuel that the call may consume.
    pub fuel_limit: u64,
    /// Peak memory in bytes.
    pub peak_memory: u64,
    /// Memory that the call may use, in bytes.
    pub memory_limit: u64,
    /// Wall time including instantiation.
    pub duration: Duration,
    /// Processor time that the call may take.
    pub deadline: Duration,
    /// Log lines of the plugin.
    pub log: Vec<String>,
}

/// The output of a call, compared with the expected one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldenOutput {
    /// The output as JSON.
    pub json: String,
    /// The whole golden, with this output as the expected one.
    pub golden: String,
    /// Whether the golden expects an output.
    pub is_expected_known: bool,
    /// A line for each difference from the expected output; empty: they are equal, or none is expected.
    pub differences: Vec<String>,
    /// The rule that the output breaks in the campaign that the input shows: a server would refuse it.
    pub violation: Option<String>,
}

impl GoldenOutput {
    /// Whether this is the expected output.
    pub fn is_as_expected(&self) -> bool {
        self.is_expected_known && self.differences.is_empty()
    }
}

impl<I: TypedCall> Case<I, I::Output> {
    pub(super) fn new(contract: Option<&str>, input: I) -> Self {
        Self {
            contract: contract.map(str::to_owned),
            call: I::call().as_str().to_owned(),
            input,
            expect: None,
        }
    }

    /// Makes the call, if the component is built for the version of the golden.
    fn output(&self, component: &LinkedComponent, budget: &Budget) -> Call<I::Output> {
        let names = component.names();
        if self.contract.as_deref() == names.in_records {
            return self.input.run(component, budget);
        }
        let (built_for, golden) = (names.minor, self.contract.as_deref().unwrap_or("1.0"));
        Call::failed(CallFailure::Link(format!(
            "it is built for version {built_for} of the contract, and the golden is of version {golden}: \
             write a golden of version {built_for}"
        )))
    }

    fn compare(&self, output: &I::Output) -> GoldenOutput {
        let differences = match &self.expect {
            Some(expect) if expect != output => differences(&value(expect), &value(output)),
            _ => Vec::new(),
        };
        GoldenOutput {
            json: pretty(output),
            golden: file(&Case {
                contract: self.contract.clone(),
                call: self.call.clone(),
                input: &self.input,
                expect: Some(output),
            }),
            is_expected_known: self.expect.is_some(),
            differences,
            violation: self.input.violation(output),
        }
    }
}

impl<I: TypedCall> AnyCase for Case<I, I::Output> {
    fn call(&self) -> CallName {
        I::call()
    }

    fn to_json(&self) -> String {
        file(self)
    }

    fn run(&self, component: &LinkedComponent) -> GoldenRun {
        let budget = self.input.budget(component.limits());
        let call = self.output(component, &budget);
        GoldenRun {
            outcome: call.outcome.map(|output| self.compare(&output)),
            fuel: call.fuel,
            fuel_limit: budget.fuel,
            peak_memory: call.peak_memory,
            memory_limit: budget.memory_bytes,
            duration: call.duration,
            deadline: budget.deadline,
            log: call.log,
        }
    }

    fn record(&self) -> Option<Vec<u8>> {
        self.input.record(self.contract.as_deref())
    }
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("the contract's types have a JSON form")
}

/// The text of a golden's file.
fn file(case: &impl Serialize) -> String {
    pretty(case) + "\n"
}

fn value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("the contract's types have a JSON form")
}
