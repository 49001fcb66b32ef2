//! The inputs of the calls, with their outputs, limits and records.

use serde::{Serialize, de::DeserializeOwned};
use tidegate_core::{Named as _, plugin as core};
use wasmtime::component::{ComponentType, Lift, Lower};

use super::{
    AssignInput, CallName, CheckInput, HealthInput, Observation, PlanInput,
    bindings::exports::tidegate::plugin::{
        compatibility::Verdict,
        health::HealthAnswer,
        rollout::{Decision, WavePlan},
    },
    shape,
};
use crate::{
    limits::{Budget, SandboxLimits},
    record::{RecordedInput, RecordedOutput},
};

/// The input of a call. Its type determines the call.
pub(crate) trait CallInput:
    ComponentType + Lower + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The call that takes this input.
    const CALL: CallName;
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
    /// The output in the domain's types.
    type Answer;

    /// The limits of the call.
    fn budget(&self, limits: &SandboxLimits) -> Budget;

    /// Checks the bounds of an output that do not depend on the campaign, and converts it. The checker applies the
    /// campaign's rules.
    fn accept(&self, output: Self::Output) -> Result<Self::Answer, String>;

    /// Serializes the input for the record.
    fn record(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&RecordedInput {
            call: Self::CALL.as_str(),
            input: self,
        })
    }

    /// Serializes the output for the record.
    fn record_output(&self, output: Result<&Self::Output, &str>) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&RecordedOutput {
            call: Self::CALL.as_str(),
            answer: output,
        })
    }
}

impl CallInput for PlanInput {
    const CALL: CallName = CallName::Plan;
    type Output = WavePlan;
    type Answer = core::Plan;

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.planning_budget(self.census.devices)
    }

    fn accept(&self, output: WavePlan) -> Result<core::Plan, String> {
        shape::check_plan(&output)?;
        Ok(output.into())
    }
}

impl CallInput for AssignInput {
    const CALL: CallName = CallName::Assign;
    type Output = Vec<u32>;
    type Answer = Vec<u32>;

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.planning_budget(self.place.len() as u64)
    }

    fn accept(&self, output: Vec<u32>) -> Result<Vec<u32>, String> {
        shape::check_count("rows", self.place.len(), output.len())?;
        Ok(output)
    }
}

impl CallInput for Observation {
    const CALL: CallName = CallName::Decide;
    type Output = Decision;
    type Answer = core::Decision;

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.call_budget()
    }

    fn accept(&self, output: Decision) -> Result<core::Decision, String> {
        shape::check_decision(&output)?;
        output.try_into()
    }
}

impl CallInput for CheckInput {
    const CALL: CallName = CallName::Check;
    type Output = Vec<Verdict>;
    type Answer = Vec<core::Compatibility>;

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.check_budget(self.classes.len() as u64)
    }

    fn accept(&self, output: Vec<Verdict>) -> Result<Vec<core::Compatibility>, String> {
        shape::check_count("classes", self.classes.len(), output.len())?;
        shape::check_verdicts(&output)?;
        Ok(output.into_iter().map(Into::into).collect())
    }
}

impl CallInput for HealthInput {
    const CALL: CallName = CallName::Evaluate;
    type Output = HealthAnswer;
    type Answer = core::HealthAnswer;

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.call_budget()
    }

    fn accept(&self, output: HealthAnswer) -> Result<core::HealthAnswer, String> {
        shape::check_health(&output)?;
        output.try_into()
    }
}
