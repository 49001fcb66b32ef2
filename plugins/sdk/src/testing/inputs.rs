//! Inputs of a typical campaign, to be modified by tests.

use crate::{
    compatibility::CheckInput,
    health::HealthInput,
    rollout::{Census, Observation, OperatorAct, OperatorActKind, PlanInput, PolicyVerdict},
    types::{
        Context, Counts, DeviceClass, Durations, Firmware, HealthVerdict, Module, Page, WaveReport,
    },
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
        size: 8_000_000,
        modules: vec![Module {
            part: "os".to_owned(),
            name: "gateway".to_owned(),
            version: "2.0.0".to_owned(),
            size: 8_000_000,
        }],
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
        last_progress_at: None,
        advanced_at: None,
        failures: Vec::new(),
        durations: durations(0),
        metrics: Vec::new(),
        checks: Vec::new(),
        extras: Vec::new(),
    }
}

/// Updates that took a minute, and a few of them two.
pub fn durations(count: u64) -> Durations {
    Durations {
        count,
        p50: if count > 0 { 60_000 } else { 0 },
        p95: if count > 0 { 120_000 } else { 0 },
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
        self.durations = durations(counts.ended());
        self.opened_at = Some(NOW - 2 * HOUR);
        self.last_progress_at = Some(NOW - HOUR);
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
            extras: Vec::new(),
        },
        config: config.to_owned(),
    }
}

/// An act of an operator at this time.
pub fn operator_act(at: u64, kind: OperatorActKind) -> OperatorAct {
    OperatorAct {
        at,
        kind,
        gate: None,
        wave: None,
        reason: None,
        role: "operator".to_owned(),
        extras: Vec::new(),
    }
}

/// Input of `decide` for these waves, without policies; the only operator action is the start.
pub fn observation(config: &str, waves: Vec<WaveReport>) -> Observation {
    Observation {
        context: context(),
        firmware: firmware(),
        operator: vec![operator_act(NOW - 24 * HOUR, OperatorActKind::Started)],
        durations: durations(total(&waves).ended()),
        waves,
        metrics: Vec::new(),
        checks: Vec::new(),
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
            extras: Vec::new(),
        });
        self
    }
}

/// Input of `check` for these classes.
pub fn check_input(config: &str, classes: Vec<DeviceClass>) -> CheckInput {
    CheckInput {
        context: context(),
        firmware: firmware(),
        page: Page {
            number: 0,
            total: 1,
        },
        classes,
        config: config.to_owned(),
    }
}

/// Input of `evaluate` for these waves, without telemetry.
pub fn health_input(config: &str, waves: Vec<WaveReport>) -> HealthInput {
    let total = total(&waves);
    HealthInput {
        context: context(),
        firmware: firmware(),
        total,
        failures: Vec::new(),
        waves,
        durations: durations(total.ended()),
        metrics: Vec::new(),
        checks: Vec::new(),
        config: config.to_owned(),
        state: Vec::new(),
    }
}

fn total(waves: &[WaveReport]) -> Counts {
    waves
        .iter()
        .fold(Counts::zero(), |sum, wave| sum.plus(wave.counts))
}
