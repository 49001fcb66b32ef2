//! The calls of the contract that decide something.

use serde::{Serialize, de::DeserializeOwned};
use tidegate_core::plugin::Kind;
use wasmtime::component::{ComponentType, Lift, Lower};

use super::{AssignInput, CheckInput, HealthInput, Observation, PlanInput};
use super::{
    bindings::exports::tidegate::plugin::{
        compatibility::Verdict,
        health::HealthAnswer,
        rollout::{Decision, WavePlan},
    },
    columns, shape,
};
use crate::{
    limits::{Budget, Limits},
    record::{Answered, Asked},
};

/// A call's name, in the contract and in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallName {
    Plan,
    Assign,
    Decide,
    Check,
    Evaluate,
}

/// All of them.
pub(crate) const CALLS: [CallName; 5] = [
    CallName::Plan,
    CallName::Assign,
    CallName::Decide,
    CallName::Check,
    CallName::Evaluate,
];

impl CallName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Assign => "assign",
            Self::Decide => "decide",
            Self::Check => "check",
            Self::Evaluate => "evaluate",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        CALLS.into_iter().find(|call| call.as_str() == text)
    }

    /// Whose call it is.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Plan | Self::Assign | Self::Decide => Kind::Strategy,
            Self::Check => Kind::Compatibility,
            Self::Evaluate => Kind::Health,
        }
    }
}

/// The input of a call, and through it the call.
pub(crate) trait Question:
    ComponentType + Lower + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Which call asks it.
    const CALL: CallName;
    /// What is answered.
    type Answer: ComponentType + Lift + Serialize + Send + Sync + 'static;

    /// What answering may take.
    fn budget(&self, limits: &Limits) -> Budget;

    /// Checks what the border promises of an answer; the campaign's rules are the checker's.
    fn check(&self, answer: &Self::Answer) -> Result<(), String>;

    /// The question as it is recorded.
    fn record(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Asked {
            call: Self::CALL.as_str(),
            input: self,
        })
    }

    /// Its answer as it is recorded.
    fn record_answer(&self, answer: Result<&Self::Answer, &str>) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Answered {
            call: Self::CALL.as_str(),
            answer,
        })
    }
}

impl Question for PlanInput {
    const CALL: CallName = CallName::Plan;
    type Answer = WavePlan;

    fn budget(&self, limits: &Limits) -> Budget {
        limits.planning(self.census.devices)
    }

    fn check(&self, answer: &WavePlan) -> Result<(), String> {
        shape::plan(answer)
    }
}

impl Question for AssignInput {
    const CALL: CallName = CallName::Assign;
    type Answer = Vec<u16>;

    fn budget(&self, limits: &Limits) -> Budget {
        limits.planning(self.place.len() as u64)
    }

    fn check(&self, answer: &Vec<u16>) -> Result<(), String> {
        shape::as_many("rows", self.place.len(), answer.len())
    }

    fn record(&self) -> serde_json::Result<Vec<u8>> {
        columns::record(self)
    }

    fn record_answer(&self, answer: Result<&Vec<u16>, &str>) -> serde_json::Result<Vec<u8>> {
        columns::record_answer(answer)
    }
}

impl Question for Observation {
    const CALL: CallName = CallName::Decide;
    type Answer = Decision;

    fn budget(&self, limits: &Limits) -> Budget {
        limits.call()
    }

    fn check(&self, answer: &Decision) -> Result<(), String> {
        shape::decision(answer)
    }
}

impl Question for CheckInput {
    const CALL: CallName = CallName::Check;
    type Answer = Vec<Verdict>;

    fn budget(&self, limits: &Limits) -> Budget {
        limits.call()
    }

    fn check(&self, answer: &Vec<Verdict>) -> Result<(), String> {
        shape::as_many("classes", self.classes.len(), answer.len())?;
        shape::verdicts(answer)
    }
}

impl Question for HealthInput {
    const CALL: CallName = CallName::Evaluate;
    type Answer = HealthAnswer;

    fn budget(&self, limits: &Limits) -> Budget {
        limits.call()
    }

    fn check(&self, answer: &HealthAnswer) -> Result<(), String> {
        shape::health(answer)
    }
}
