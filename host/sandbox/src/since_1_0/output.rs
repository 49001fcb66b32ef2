//! Converts call outputs from the contract's types to the domain's.

use std::time::Duration;

use tidegate_core::plugin as core;

use super::bindings::exports::tidegate::plugin::{compatibility, health, meta, rollout};
use super::bindings::tidegate::plugin::types;

impl TryFrom<meta::Description> for core::Description {
    type Error = String;

    fn try_from(description: meta::Description) -> Result<Self, String> {
        let name = description.name.parse().map_err(|error| {
            let text: String = description.name.escape_debug().take(128).collect();
            format!("the name `{text}` is invalid: {error}")
        })?;
        Ok(Self {
            name,
            version: description.version,
            summary: description.summary,
            config_schema: description.config_schema,
            state_schema: description.state_schema,
        })
    }
}

impl From<meta::Interests> for core::Interests {
    fn from(wants: meta::Interests) -> Self {
        Self {
            attributes: wants.attributes,
            metrics: wants.metrics,
            facts: wants.facts,
        }
    }
}

impl From<meta::FieldError> for core::FieldError {
    fn from(error: meta::FieldError) -> Self {
        Self {
            path: error.path,
            message: error.message,
        }
    }
}

impl From<rollout::WavePlan> for core::Plan {
    fn from(plan: rollout::WavePlan) -> Self {
        Self {
            waves: plan.waves.into_iter().map(Into::into).collect(),
            parallel: plan.parallel,
            dynamic: plan.dynamic,
        }
    }
}

impl From<rollout::Wave> for core::PlannedWave {
    fn from(wave: rollout::Wave) -> Self {
        Self {
            name: wave.name,
            members: match wave.members {
                rollout::Members::Count(count) => core::Members::Count(count),
                rollout::Members::Share(share) => core::Members::Share(share),
                rollout::Members::Selector(rsql) => core::Members::Selector(rsql),
                rollout::Members::Devices(ids) => core::Members::Devices(ids),
                rollout::Members::Rest => core::Members::Rest,
                rollout::Members::Custom => core::Members::Custom,
            },
        }
    }
}

impl TryFrom<rollout::Decision> for core::Decision {
    type Error = String;

    fn try_from(decision: rollout::Decision) -> Result<Self, String> {
        Ok(Self {
            releases: decision
                .releases
                .into_iter()
                .map(|release| core::Release {
                    wave: release.wave,
                    devices: release.devices,
                })
                .collect(),
            outcome: match decision.outcome {
                rollout::Outcome::Proceed => core::DecisionOutcome::Proceed,
                rollout::Outcome::AwaitOperator(gate) => {
                    core::DecisionOutcome::AwaitOperator(core::Gate {
                        name: gate.name,
                        before: gate.before,
                    })
                }
                rollout::Outcome::Hold(reason) => core::DecisionOutcome::Hold(reason),
                rollout::Outcome::RollBack(back) => {
                    core::DecisionOutcome::RollBack(back.try_into()?)
                }
                rollout::Outcome::Complete(reason) => core::DecisionOutcome::Complete(reason),
                rollout::Outcome::Fail(reason) => core::DecisionOutcome::Fail(reason),
            },
            wake_after: decision.wake_after.map(Duration::from_millis),
            state: decision.state,
            explain: decision.explain,
        })
    }
}

impl TryFrom<types::RollBack> for core::RollbackRequest {
    type Error = String;

    fn try_from(back: types::RollBack) -> Result<Self, String> {
        let scope = match back.scope {
            types::Scope::Everything => core::RollbackScope::Everything,
            types::Scope::InFlight => core::RollbackScope::InFlight,
            types::Scope::Other(_) => return Err(other_is_the_hosts("a scope")),
        };
        Ok(Self {
            scope,
            reason: back.reason,
        })
    }
}

/// The error of an answer with a case that only hosts use.
fn other_is_the_hosts(what: &str) -> String {
    format!("{what} is `other`, which only the host may say")
}

impl From<compatibility::Verdict> for core::Compatibility {
    fn from(verdict: compatibility::Verdict) -> Self {
        match verdict {
            compatibility::Verdict::Compatible => Self::Compatible,
            compatibility::Verdict::Incompatible(reason) => Self::Incompatible(reason),
            compatibility::Verdict::Needs(needs) => Self::Needs {
                version: needs.version,
                reason: needs.reason,
            },
        }
    }
}

impl TryFrom<health::HealthAnswer> for core::HealthAnswer {
    type Error = String;

    fn try_from(answer: health::HealthAnswer) -> Result<Self, String> {
        Ok(Self {
            verdict: answer.verdict.try_into()?,
            confidence: answer.confidence,
            state: answer.state,
            explain: answer.explain,
        })
    }
}

impl TryFrom<types::HealthVerdict> for core::HealthVerdict {
    type Error = String;

    fn try_from(verdict: types::HealthVerdict) -> Result<Self, String> {
        Ok(match verdict {
            types::HealthVerdict::Healthy => Self::Healthy,
            types::HealthVerdict::Inconclusive(why) => Self::Inconclusive(why),
            types::HealthVerdict::Hold(why) => Self::Hold(why),
            types::HealthVerdict::RollBack(back) => Self::RollBack(back.try_into()?),
            types::HealthVerdict::Other(_) => return Err(other_is_the_hosts("the verdict")),
        })
    }
}
