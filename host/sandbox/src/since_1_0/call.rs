//! The inputs of the calls, with their outputs and limits.

use tidegate_core::plugin as core;

use super::{
    AssignInput, CheckInput, HealthInput, Observation, PlanInput,
    bindings::exports::tidegate::plugin::{
        compatibility::Verdict,
        health::HealthAnswer,
        rollout::{Decision, WavePlan},
    },
    input::convert_all,
    shape,
};
use crate::{
    contract::CallInput,
    limits::{Budget, SandboxLimits},
};

impl CallInput for PlanInput {
    type Param = Self;
    type Question = core::PlanInput;
    type Output = WavePlan;

    fn param(&self) -> &Self {
        self
    }

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.planning_budget(self.census.devices)
    }

    fn accept(&self, output: WavePlan) -> Result<core::Plan, String> {
        shape::check_plan(&output)?;
        Ok(output.into())
    }

    fn question(&self) -> Result<core::PlanInput, String> {
        Ok(self.clone().into())
    }

    fn output(answer: core::Plan) -> WavePlan {
        answer.into()
    }
}

impl CallInput for AssignInput {
    type Param = Self;
    type Question = core::AssignInput;
    type Output = Vec<u32>;

    fn param(&self) -> &Self {
        self
    }

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.planning_budget(self.place.len() as u64)
    }

    fn accept(&self, output: Vec<u32>) -> Result<Vec<u32>, String> {
        shape::check_count("rows", self.place.len(), output.len())?;
        Ok(output)
    }

    fn question(&self) -> Result<core::AssignInput, String> {
        Ok(self.clone().into())
    }

    fn output(answer: Vec<u32>) -> Vec<u32> {
        answer
    }
}

impl CallInput for Observation {
    type Param = Self;
    type Question = core::Observation;
    type Output = Decision;

    fn param(&self) -> &Self {
        self
    }

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.call_budget()
    }

    fn accept(&self, output: Decision) -> Result<core::Decision, String> {
        accept_decision(output)
    }

    fn question(&self) -> Result<core::Observation, String> {
        self.clone().try_into()
    }

    fn output(answer: core::Decision) -> Decision {
        answer.into()
    }
}

/// Checks and converts a decision, which does not depend on the observation.
pub(crate) fn accept_decision(decision: Decision) -> Result<core::Decision, String> {
    shape::check_decision(&decision)?;
    decision.try_into()
}

impl CallInput for CheckInput {
    type Param = Self;
    type Question = core::CheckInput;
    type Output = Vec<Verdict>;

    fn param(&self) -> &Self {
        self
    }

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.check_budget(self.classes.len() as u64)
    }

    fn accept(&self, output: Vec<Verdict>) -> Result<Vec<core::Compatibility>, String> {
        shape::check_count("classes", self.classes.len(), output.len())?;
        shape::check_verdicts(&output)?;
        Ok(output.into_iter().map(Into::into).collect())
    }

    fn question(&self) -> Result<core::CheckInput, String> {
        Ok(self.clone().into())
    }

    fn output(answer: Vec<core::Compatibility>) -> Vec<Verdict> {
        convert_all(answer)
    }
}

impl CallInput for HealthInput {
    type Param = Self;
    type Question = core::HealthInput;
    type Output = HealthAnswer;

    fn param(&self) -> &Self {
        self
    }

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.call_budget()
    }

    fn accept(&self, output: HealthAnswer) -> Result<core::HealthAnswer, String> {
        shape::check_health(&output)?;
        output.try_into()
    }

    fn question(&self) -> Result<core::HealthInput, String> {
        Ok(self.clone().into())
    }

    fn output(answer: core::HealthAnswer) -> HealthAnswer {
        answer.into()
    }
}
