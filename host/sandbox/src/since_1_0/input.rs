//! Converts call inputs from the domain's types to the contract's.

use tidegate_core::{
    measurement,
    plugin::{self as core, HealthVerdict, OperatorActKind, RollbackScope},
    time::Timestamp,
    wave,
};

use super::bindings::exports::tidegate::plugin::rollout;
use super::bindings::tidegate::plugin::types;

impl From<core::PlanInput> for rollout::PlanInput {
    fn from(input: core::PlanInput) -> Self {
        Self {
            context: input.context.into(),
            firmware: input.firmware.into(),
            census: rollout::Census {
                devices: input.census.devices,
                groups: convert_all(input.census.groups),
                classes: convert_all(input.census.classes),
                extras: Vec::new(),
            },
            config: input.config,
        }
    }
}

impl From<core::Observation> for rollout::Observation {
    fn from(observation: core::Observation) -> Self {
        Self {
            context: observation.context.into(),
            firmware: observation.firmware.into(),
            operator: convert_all(observation.operator),
            waves: convert_all(observation.waves),
            durations: observation.durations.into(),
            metrics: Vec::new(),
            checks: Vec::new(),
            verdicts: convert_all(observation.verdicts),
            config: observation.config,
            state: observation.state,
        }
    }
}

impl From<core::Context> for types::Context {
    fn from(context: core::Context) -> Self {
        Self {
            now: context.now.as_millis(),
            seed: context.seed,
            started_at: context.started_at.map(Timestamp::as_millis),
            max_in_flight: context.max_in_flight,
            failure_ceiling: context.failure_ceiling,
            update_timeout: millis(context.update_timeout),
            auto_rollback: context.auto_rollback,
            facts: attributes(context.facts),
        }
    }
}

impl From<core::FirmwareFacts> for types::Firmware {
    fn from(firmware: core::FirmwareFacts) -> Self {
        Self {
            name: firmware.name,
            version: firmware.version,
            device_model: firmware.device_model,
            manufacturer: firmware.manufacturer,
            min_hardware_version: firmware.min_hardware_version,
            max_hardware_version: firmware.max_hardware_version,
            beta: firmware.beta,
            security_update: firmware.security_update,
            tags: firmware.tags,
            metadata: attributes(firmware.metadata),
            size: firmware.size,
            modules: convert_all(firmware.modules),
        }
    }
}

impl From<core::DeviceClass> for types::DeviceClass {
    fn from(class: core::DeviceClass) -> Self {
        Self {
            hardware_model: class.key.hardware_model,
            hardware_revision: class.key.hardware_revision,
            version: class.key.version,
            attributes: attributes(class.key.attributes),
            devices: class.devices,
        }
    }
}

impl From<core::PlannedWave> for rollout::Wave {
    fn from(wave: core::PlannedWave) -> Self {
        Self {
            name: wave.name,
            members: match wave.members {
                core::Members::Count(count) => rollout::Members::Count(count),
                core::Members::Share(share) => rollout::Members::Share(share),
                core::Members::Selector(rsql) => rollout::Members::Selector(rsql),
                core::Members::Devices(ids) => rollout::Members::Devices(ids),
                core::Members::Rest => rollout::Members::Rest,
                core::Members::Custom => rollout::Members::Custom,
            },
            extras: Vec::new(),
        }
    }
}

impl From<core::OperatorAct> for rollout::OperatorAct {
    fn from(act: core::OperatorAct) -> Self {
        Self {
            at: act.at.as_millis(),
            kind: match act.kind {
                OperatorActKind::Started => rollout::OperatorActKind::Started,
                OperatorActKind::Paused => rollout::OperatorActKind::Paused,
                OperatorActKind::Resumed => rollout::OperatorActKind::Resumed,
                OperatorActKind::Advanced => rollout::OperatorActKind::Advanced,
            },
            gate: act.gate,
            wave: act.wave,
            reason: act.reason,
            role: act.role,
            extras: Vec::new(),
        }
    }
}

impl From<core::PolicyVerdict> for rollout::PolicyVerdict {
    fn from(verdict: core::PolicyVerdict) -> Self {
        Self {
            policy: verdict.policy,
            verdict: verdict.verdict.into(),
            confidence: verdict.confidence,
            extras: Vec::new(),
        }
    }
}

impl From<HealthVerdict> for types::HealthVerdict {
    fn from(verdict: HealthVerdict) -> Self {
        match verdict {
            HealthVerdict::Healthy => Self::Healthy,
            HealthVerdict::Inconclusive(why) => Self::Inconclusive(why),
            HealthVerdict::Hold(why) => Self::Hold(why),
            HealthVerdict::RollBack(back) => Self::RollBack(back.into()),
        }
    }
}

impl From<core::RollbackRequest> for types::RollBack {
    fn from(back: core::RollbackRequest) -> Self {
        Self {
            scope: match back.scope {
                RollbackScope::Everything => types::Scope::Everything,
                RollbackScope::InFlight => types::Scope::InFlight,
            },
            reason: back.reason,
        }
    }
}

impl From<wave::WaveReport> for types::WaveReport {
    fn from(wave: wave::WaveReport) -> Self {
        Self {
            name: wave.name,
            size: wave.size,
            released: wave.released,
            counts: wave.counts.into(),
            opened_at: wave.opened_at.map(Timestamp::as_millis),
            last_progress_at: wave.last_progress_at.map(Timestamp::as_millis),
            advanced_at: wave.advanced_at.map(Timestamp::as_millis),
            failures: convert_all(wave.failures),
            durations: wave.durations.into(),
            metrics: Vec::new(),
            checks: Vec::new(),
            extras: Vec::new(),
        }
    }
}

impl From<measurement::Durations> for types::Durations {
    fn from(durations: measurement::Durations) -> Self {
        Self {
            count: durations.count,
            p50: millis(durations.p50),
            p95: millis(durations.p95),
        }
    }
}

impl From<measurement::Metric> for types::Metric {
    fn from(metric: measurement::Metric) -> Self {
        Self {
            name: metric.name,
            since: metric.since.as_millis(),
            updated: metric.updated.into(),
            baseline: metric.baseline.into(),
        }
    }
}

impl From<measurement::Sample> for types::Sample {
    fn from(sample: measurement::Sample) -> Self {
        // JSON has only finite numbers, and the record must equal the input.
        let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
        Self {
            count: sample.count,
            mean: finite(sample.mean),
            variance: finite(sample.variance),
            p50: finite(sample.p50),
            p95: finite(sample.p95),
            min: finite(sample.min),
            max: finite(sample.max),
        }
    }
}

pub(super) fn convert_all<T, U: From<T>>(items: Vec<T>) -> Vec<U> {
    items.into_iter().map(U::from).collect()
}

fn attributes(pairs: Vec<(String, String)>) -> Vec<types::Attribute> {
    pairs
        .into_iter()
        .map(|(key, value)| types::Attribute { key, value })
        .collect()
}

pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
