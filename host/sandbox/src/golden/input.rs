//! The inputs of goldens, and how each is run.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tidegate_core::Named as _;
use tidegate_engine::ports::CallFailure;

use super::GoldenCall;
use crate::{
    limits::{Budget, SandboxLimits},
    plugin::{Plugin, RunResult, plugin_error},
    record,
    since_1_0::{CallInput, meta},
};

/// The input of a call. Its type determines the call.
pub(super) trait GoldenInput: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The output, in the form of goldens.
    type Output: Serialize + DeserializeOwned + PartialEq + Send + Sync + 'static;

    /// The name of the call.
    fn call() -> &'static str;

    /// The limits of the call.
    fn budget(&self, limits: &SandboxLimits) -> Budget;

    /// Makes the call. An output that the server would refuse is a failure.
    fn run(&self, plugin: &Plugin) -> RunResult<Self::Output>;

    /// The recorded form of the input, if the call is recorded.
    fn record(&self) -> Option<Vec<u8>>;
}

/// The plugin's own error is an output: a strategy may be unable to answer an input.
impl<I: CallInput> GoldenInput for I {
    type Output = Result<I::Output, String>;

    fn call() -> &'static str {
        I::CALL.as_str()
    }

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        CallInput::budget(self, limits)
    }

    fn run(&self, plugin: &Plugin) -> RunResult<Self::Output> {
        let budget = CallInput::budget(self, plugin.limits());
        plugin.run_input(self, &budget).and_then(|output| {
            if let Ok(output) = &output {
                self.accept(output.clone())
                    .map_err(CallFailure::InvalidAnswer)?;
            }
            Ok(output)
        })
    }

    fn record(&self) -> Option<Vec<u8>> {
        let json = CallInput::record(self).ok()?;
        Some(record::compress(&json))
    }
}

/// `describe` has no input.
#[derive(Serialize, Deserialize)]
pub(super) struct DescribeInput;

/// A config, JSON text.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct ValidateInput(pub(super) String);

/// A config, JSON text.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct WantsInput(pub(super) String);

/// The plugin's own error is a failure, as in the SDK, where `describe` returns none.
impl GoldenInput for DescribeInput {
    type Output = meta::Description;

    fn call() -> &'static str {
        GoldenCall::Describe.as_str()
    }

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.call_budget()
    }

    fn run(&self, plugin: &Plugin) -> RunResult<Self::Output> {
        plugin.run_describe().and_then(own_error_is_failure)
    }

    fn record(&self) -> Option<Vec<u8>> {
        None
    }
}

/// The plugin's own error is a failure, as in the SDK, where `validate` returns none.
impl GoldenInput for ValidateInput {
    type Output = Vec<meta::FieldError>;

    fn call() -> &'static str {
        GoldenCall::Validate.as_str()
    }

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.call_budget()
    }

    fn run(&self, plugin: &Plugin) -> RunResult<Self::Output> {
        plugin.run_validate(&self.0).and_then(own_error_is_failure)
    }

    fn record(&self) -> Option<Vec<u8>> {
        None
    }
}

impl GoldenInput for WantsInput {
    type Output = Result<meta::Interests, String>;

    fn call() -> &'static str {
        GoldenCall::Wants.as_str()
    }

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.call_budget()
    }

    fn run(&self, plugin: &Plugin) -> RunResult<Self::Output> {
        plugin.run_wants(&self.0)
    }

    fn record(&self) -> Option<Vec<u8>> {
        None
    }
}

fn own_error_is_failure<T>(output: Result<T, String>) -> Result<T, CallFailure> {
    output.map_err(|text| plugin_error(&text))
}
