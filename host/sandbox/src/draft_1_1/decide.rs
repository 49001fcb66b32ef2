//! `decide`, whose observation has one more field and whose releases may be shares. It goes by the types of 1.0, to which
//! it adds and from which it takes what differs.

use tidegate_core::plugin as core;

use super::bindings::exports::tidegate::plugin::rollout::{Decision, Level, Observation, Release};
use crate::{
    contract::CallInput,
    limits::{Budget, SandboxLimits},
    since_1_0::{self, Decision as Decision1_0, Release as Release1_0, accept_decision},
};

const WHOLE_BASIS_POINTS: u16 = 10_000;

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
        let releases = output.releases.into_iter();
        let releases: Result<_, String> = releases.map(|release| self.resolve(release)).collect();
        accept_decision(Decision1_0 {
            releases: releases?,
            outcome: output.outcome,
            wake_after: output.wake_after,
            state: output.state,
            explain: output.explain,
            extras: output.extras,
        })
    }

    fn question(&self) -> Result<core::Observation, String> {
        let Self {
            devices: _,
            context,
            firmware,
            operator,
            waves,
            durations,
            metrics,
            checks,
            verdicts,
            config,
            state,
        } = self.clone();
        since_1_0::Observation {
            context,
            firmware,
            operator,
            waves,
            durations,
            metrics,
            checks,
            verdicts,
            config,
            state,
        }
        .try_into()
    }

    fn output(answer: core::Decision) -> Decision {
        let decision = Decision1_0::from(answer);
        let releases = decision.releases.into_iter();
        Decision {
            releases: releases
                .map(|Release1_0 { wave, devices }| Release {
                    wave,
                    level: Level::Devices(devices),
                })
                .collect(),
            outcome: decision.outcome,
            wake_after: decision.wake_after,
            state: decision.state,
            explain: decision.explain,
            extras: decision.extras,
        }
    }
}

impl From<core::Observation> for Observation {
    fn from(observation: core::Observation) -> Self {
        let observation = since_1_0::Observation::from(observation);
        Self {
            devices: observation.waves.iter().map(|wave| wave.size).sum(),
            context: observation.context,
            firmware: observation.firmware,
            operator: observation.operator,
            waves: observation.waves,
            durations: observation.durations,
            metrics: observation.metrics,
            checks: observation.checks,
            verdicts: observation.verdicts,
            config: observation.config,
            state: observation.state,
        }
    }
}

impl Observation {
    /// The release with a number of devices for a level.
    fn resolve(&self, release: Release) -> Result<Release1_0, String> {
        let Release { wave, level } = release;
        let devices = match level {
            Level::Devices(devices) => devices,
            Level::Share(share) if share > WHOLE_BASIS_POINTS => {
                return Err(format!(
                    "the level of wave {wave} is {share} basis points; the maximum is {WHOLE_BASIS_POINTS}"
                ));
            }
            Level::Share(share) => {
                let found = self.waves.get(wave as usize);
                let size = found
                    .ok_or_else(|| format!("there is no wave {wave}"))?
                    .size;
                let devices = u128::from(size) * u128::from(share);
                let devices = devices.div_ceil(u128::from(WHOLE_BASIS_POINTS));
                u64::try_from(devices).unwrap_or(u64::MAX)
            }
        };
        Ok(Release1_0 { wave, devices })
    }
}
