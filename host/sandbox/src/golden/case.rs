//! A golden of one call, and the result of running it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_engine::ports::CallFailure;

use super::{difference::differences, input::GoldenInput};
use crate::plugin::Plugin;

/// The fields of a golden, in the order in which goldens are written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case<I, O> {
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
    /// Wall time that the call may take.
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
}

impl GoldenOutput {
    /// Whether this is the expected output.
    pub fn is_as_expected(&self) -> bool {
        self.is_expected_known && self.differences.is_empty()
    }
}

/// A [`Case`] of any call.
pub(super) trait AnyCase: Send + Sync {
    fn call(&self) -> &'static str;
    fn to_json(&self) -> String;
    fn run(&self, plugin: &Plugin) -> GoldenRun;
    fn record(&self) -> Option<Vec<u8>>;
}

impl<I: GoldenInput> Case<I, I::Output> {
    pub(super) fn new(input: I) -> Self {
        Self {
            call: I::call().to_owned(),
            input,
            expect: None,
        }
    }

    fn compare(&self, output: &I::Output) -> GoldenOutput {
        let differences = match &self.expect {
            Some(expect) if expect != output => differences(&value(expect), &value(output)),
            _ => Vec::new(),
        };
        GoldenOutput {
            json: pretty(output),
            golden: file(&Case {
                call: self.call.clone(),
                input: &self.input,
                expect: Some(output),
            }),
            is_expected_known: self.expect.is_some(),
            differences,
        }
    }
}

impl<I: GoldenInput> AnyCase for Case<I, I::Output> {
    fn call(&self) -> &'static str {
        I::call()
    }

    fn to_json(&self) -> String {
        file(self)
    }

    fn run(&self, plugin: &Plugin) -> GoldenRun {
        let budget = self.input.budget(plugin.limits());
        let run = self.input.run(plugin);
        GoldenRun {
            outcome: run.outcome.map(|output| self.compare(&output)),
            fuel: run.fuel,
            fuel_limit: budget.fuel,
            peak_memory: run.peak_memory,
            memory_limit: budget.memory_bytes,
            duration: run.duration,
            deadline: budget.deadline,
            log: run.log,
        }
    }

    fn record(&self) -> Option<Vec<u8>> {
        self.input.record()
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
