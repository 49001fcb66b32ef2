//! Converts answers from the domain's types to those of outputs: the answer to a call that was recorded in this version
//! may come from a plugin of another one.

use tidegate_core::plugin as core;

use super::{
    bindings::exports::tidegate::plugin::{compatibility, health, meta, rollout},
    input::{convert_all, millis},
};

impl From<core::Interests> for meta::Interests {
    fn from(wants: core::Interests) -> Self {
        Self {
            attributes: wants.attributes,
            metrics: wants.metrics,
            facts: wants.facts,
            extras: Vec::new(),
        }
    }
}

impl From<core::Plan> for rollout::WavePlan {
    fn from(plan: core::Plan) -> Self {
        Self {
            waves: convert_all(plan.waves),
            parallel: plan.parallel,
            dynamic: plan.dynamic,
            extras: Vec::new(),
        }
    }
}

impl From<core::Decision> for rollout::Decision {
    fn from(decision: core::Decision) -> Self {
        Self {
            releases: convert_all(decision.releases),
            outcome: decision.outcome.into(),
            wake_after: decision.wake_after.map(millis),
            state: decision.state,
            explain: decision.explain,
            extras: Vec::new(),
        }
    }
}

impl From<core::Release> for rollout::Release {
    fn from(release: core::Release) -> Self {
        Self {
            wave: release.wave,
            devices: release.devices,
        }
    }
}

impl From<core::DecisionOutcome> for rollout::Outcome {
    fn from(outcome: core::DecisionOutcome) -> Self {
        match outcome {
            core::DecisionOutcome::Proceed => Self::Proceed,
            core::DecisionOutcome::AwaitOperator(gate) => Self::AwaitOperator(rollout::Gate {
                name: gate.name,
                before: gate.before,
            }),
            core::DecisionOutcome::Hold(reason) => Self::Hold(reason),
            core::DecisionOutcome::RollBack(back) => Self::RollBack(back.into()),
            core::DecisionOutcome::Complete(reason) => Self::Complete(reason),
            core::DecisionOutcome::Fail(reason) => Self::Fail(reason),
        }
    }
}

impl From<core::Compatibility> for compatibility::Verdict {
    fn from(verdict: core::Compatibility) -> Self {
        match verdict {
            core::Compatibility::Compatible => Self::Compatible,
            core::Compatibility::Incompatible(reason) => Self::Incompatible(reason),
            core::Compatibility::Needs { version, reason } => {
                Self::Needs(compatibility::Needs { version, reason })
            }
        }
    }
}

impl From<core::HealthAnswer> for health::HealthAnswer {
    fn from(answer: core::HealthAnswer) -> Self {
        Self {
            verdict: answer.verdict.into(),
            confidence: answer.confidence,
            state: answer.state,
            explain: answer.explain,
            extras: Vec::new(),
        }
    }
}
