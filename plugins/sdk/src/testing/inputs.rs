//! Inputs of a typical campaign, to be modified by tests.

use crate::{
    compatibility::CheckInput,
    health::{Durations, HealthInput},
    rollout::{Census, Observation, OperatorAct, OperatorActKind, PlanInput, PolicyVerdict},
    types::{Context, Counts, DeviceClass, Firmware, HealthVerdict, WaveReport},
};

/// Time of the calls: 2026-01-01T00:00:00Z.
pub const NOW: u64 = 1_767_225_600_000;

const HOUR: u64 = 3_600_000;

/// A campaign that started a day ago, without a limit of devices in flight.
pub fn context() -> Context {
    Context {
        now: NOW,
        seed: 42,
        started_at: Some(NOW - 24 * HOUR),
        max_in_flight: None,
        failure_ceiling: 5000,
        update_timeout: HOUR,
        auto_rollback: true,
        facts: Vec::new(),
    }
}

/// Firmware 2.0.0 for any hardware.
pub fn firmware() -> Firmware {
    Firmware {
        name: "gateway".to_owned(),
        version: "2.0.0".to_owned(),
        device_model: None,
        manufacturer: None,
        min_hardware_version: None,
        max_hardware_version: None,
        beta: false,
        security_update: false,
        tags: Vec::new(),
        metadata: Vec::new(),
    }
}

/// Ten devices of hardware `gw-1`, revision 1.0, on version 1.0.0.
pub fn class() -> DeviceClass {
    DeviceClass {
        hardware_model: Some("gw-1".to_owned()),
        hardware_revision: Some("1.0".to_owned()),
        version: Some("1.0.0".to_owned()),
        attributes: Vec::new(),
        devices: 10,
    }
}

/// Counters of devices in progress or ended.
pub fn counts(in_progress: u64, completed: u64, failed: u64) -> Counts {
    Counts {
        in_progress,
        completed,
        failed,
        ..Counts::zero()
    }
}

/// A wave that has not opened.
pub fn wave(name: &str, size: u64) -> WaveReport {
    WaveReport {
        name: name.to_owned(),
        size,
        released: 0,
        counts: Counts {
            pending: size,
            ..Counts::zero()
        },
        opened_at: None,
        moved_at: None,
        advanced_at: None,
        failures: Vec::new(),
    }
}

impl WaveReport {
    /// With these counters; the remaining devices are pending, all others released. The wave opened two hours ago,
    /// with the last progress an hour ago.
    #[must_use]
    pub fn with_counts(mut self, counts: Counts) -> Self {
        let released = counts.in_flight() + counts.ended();
        self.counts = Counts {
            pending: self.size - released,
            ..counts
        };
        self.released = released;
        self.opened_at = Some(NOW - 2 * HOUR);
        self.moved_at = Some(NOW - HOUR);
        self
    }
}

/// Input of `plan` for this many devices, without groups.
pub fn plan_input(config: &str, devices: u64) -> PlanInput {
    PlanInput {
        context: Context {
            started_at: None,
            ..context()
        },
        firmware: firmware(),
        census: Census {
            devices,
            groups: Vec::new(),
            classes: vec![DeviceClass { devices, ..class() }],
        },
        config: config.to_owned(),
    }
}

/// Input of `decide` for these waves, without policies; the only operator action is the start.
pub fn observation(config: &str, waves: Vec<WaveReport>) -> Observation {
    Observation {
        context: context(),
        firmware: firmware(),
        operator: vec![OperatorAct {
            at: NOW - 24 * HOUR,
            kind: OperatorActKind::Started,
            wave: None,
        }],
        waves,
        verdicts: Vec::new(),
        config: config.to_owned(),
        state: Vec::new(),
    }
}

impl Observation {
    /// Adds the verdict of a policy.
    #[must_use]
    pub fn with_verdict(mut self, policy: &str, verdict: HealthVerdict) -> Self {
        self.verdicts.push(PolicyVerdict {
            policy: policy.to_owned(),
            verdict,
            confidence: 10_000,
        });
        self
    }
}

/// Input of `check` for these classes.
pub fn check_input(config: &str, classes: Vec<DeviceClass>) -> CheckInput {
    CheckInput {
        context: context(),
        firmware: firmware(),
        classes,
        config: config.to_owned(),
    }
}

/// Input of `evaluate` for these waves, without telemetry.
pub fn health_input(config: &str, waves: Vec<WaveReport>) -> HealthInput {
    let total = waves
        .iter()
        .fold(Counts::zero(), |sum, wave| sum.plus(wave.counts));
    HealthInput {
        context: context(),
        firmware: firmware(),
        total,
        failures: Vec::new(),
        waves,
        durations: Durations {
            count: total.ended(),
            p50: 60_000,
            p95: 120_000,
        },
        metrics: Vec::new(),
        checks: Vec::new(),
        config: config.to_owned(),
        state: Vec::new(),
    }
}
