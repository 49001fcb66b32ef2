//! Converts recorded inputs back to the domain's types: they may be asked of a plugin of another version. What the
//! domain does not have is left out, and found by converting the result again.

use std::time::Duration;

use tidegate_core::{
    measurement,
    plugin::{self as core, OperatorActKind},
    time::Timestamp,
    wave,
};

use super::{
    bindings::{exports::tidegate::plugin::rollout, tidegate::plugin::types},
    input::convert_all,
};

impl From<rollout::PlanInput> for core::PlanInput {
    fn from(input: rollout::PlanInput) -> Self {
        Self {
            context: input.context.into(),
            firmware: input.firmware.into(),
            census: core::Census {
                devices: input.census.devices,
                groups: convert_all(input.census.groups),
                classes: convert_all(input.census.classes),
            },
            config: input.config,
        }
    }
}

impl TryFrom<rollout::Observation> for core::Observation {
    type Error = String;

    fn try_from(observation: rollout::Observation) -> Result<Self, String> {
        Ok(Self {
            context: observation.context.into(),
            firmware: observation.firmware.into(),
            operator: try_convert_all(observation.operator)?,
            waves: convert_all(observation.waves),
            durations: observation.durations.into(),
            verdicts: try_convert_all(observation.verdicts)?,
            config: observation.config,
            state: observation.state,
        })
    }
}

impl From<types::Context> for core::Context {
    fn from(context: types::Context) -> Self {
        Self {
            now: timestamp(context.now),
            seed: context.seed,
            started_at: context.started_at.map(timestamp),
            max_in_flight: context.max_in_flight,
            failure_ceiling: context.failure_ceiling,
            update_timeout: Duration::from_millis(context.update_timeout),
            auto_rollback: context.auto_rollback,
            facts: pairs(context.facts),
        }
    }
}

impl From<types::Firmware> for core::FirmwareFacts {
    fn from(firmware: types::Firmware) -> Self {
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
            metadata: pairs(firmware.metadata),
            size: firmware.size,
            modules: convert_all(firmware.modules),
        }
    }
}

impl From<types::DeviceClass> for core::DeviceClass {
    fn from(class: types::DeviceClass) -> Self {
        Self {
            key: core::ClassKey {
                hardware_model: class.hardware_model,
                hardware_revision: class.hardware_revision,
                version: class.version,
                attributes: pairs(class.attributes),
            },
            devices: class.devices,
        }
    }
}

impl TryFrom<rollout::OperatorAct> for core::OperatorAct {
    type Error = String;

    fn try_from(act: rollout::OperatorAct) -> Result<Self, String> {
        Ok(Self {
            at: timestamp(act.at),
            kind: match act.kind {
                rollout::OperatorActKind::Started => OperatorActKind::Started,
                rollout::OperatorActKind::Paused => OperatorActKind::Paused,
                rollout::OperatorActKind::Resumed => OperatorActKind::Resumed,
                rollout::OperatorActKind::Advanced => OperatorActKind::Advanced,
                rollout::OperatorActKind::Other(_) => {
                    return Err(
                        "it has an act of an operator that this server does not know".into(),
                    );
                }
            },
            gate: act.gate,
            wave: act.wave,
            reason: act.reason,
            role: act.role,
        })
    }
}

impl TryFrom<rollout::PolicyVerdict> for core::PolicyVerdict {
    type Error = String;

    fn try_from(verdict: rollout::PolicyVerdict) -> Result<Self, String> {
        Ok(Self {
            policy: verdict.policy,
            verdict: verdict
                .verdict
                .try_into()
                .map_err(|_: String| "it has a verdict that this server does not know")?,
            confidence: verdict.confidence,
        })
    }
}

impl From<types::WaveReport> for wave::WaveReport {
    fn from(wave: types::WaveReport) -> Self {
        Self {
            name: wave.name,
            size: wave.size,
            released: wave.released,
            counts: wave.counts.into(),
            opened_at: wave.opened_at.map(timestamp),
            last_progress_at: wave.last_progress_at.map(timestamp),
            advanced_at: wave.advanced_at.map(timestamp),
            failures: convert_all(wave.failures),
            durations: wave.durations.into(),
        }
    }
}

impl From<types::Durations> for measurement::Durations {
    fn from(durations: types::Durations) -> Self {
        Self {
            count: durations.count,
            p50: Duration::from_millis(durations.p50),
            p95: Duration::from_millis(durations.p95),
        }
    }
}

impl From<types::Metric> for measurement::Metric {
    fn from(metric: types::Metric) -> Self {
        Self {
            name: metric.name,
            since: timestamp(metric.since),
            updated: metric.updated.into(),
            baseline: metric.baseline.into(),
        }
    }
}

impl From<types::Sample> for measurement::Sample {
    fn from(sample: types::Sample) -> Self {
        Self {
            count: sample.count,
            mean: sample.mean,
            variance: sample.variance,
            p50: sample.p50,
            p95: sample.p95,
            min: sample.min,
            max: sample.max,
        }
    }
}

fn try_convert_all<T, U: TryFrom<T>>(items: Vec<T>) -> Result<Vec<U>, U::Error> {
    items.into_iter().map(U::try_from).collect()
}

fn pairs(attributes: Vec<types::Attribute>) -> Vec<(String, String)> {
    attributes
        .into_iter()
        .map(|types::Attribute { key, value }| (key, value))
        .collect()
}

fn timestamp(millis: u64) -> Timestamp {
    Timestamp(i64::try_from(millis).unwrap_or(i64::MAX))
}
