//! A small invented campaign for the trial calls of uploaded plugins, and for samples of goldens.

use std::time::Duration;

use tidegate_core::{
    measurement::Durations,
    plugin::{
        AssignInput, Census, CheckInput, ClassKey, Context, DeviceClass, FirmwareFacts, GroupSize,
        HealthInput, Members, ModuleFacts, Observation, PageOf, PlanInput, PlannedWave,
    },
    time::Timestamp,
    wave::{Counts, WaveReport},
};

const DEVICES: u64 = 100;
const GROUP: &str = "trial";

pub(crate) fn plan(config: &str) -> PlanInput {
    PlanInput {
        context: Context {
            started_at: None,
            ..context()
        },
        firmware: firmware(),
        census: Census {
            devices: DEVICES,
            groups: vec![GroupSize {
                name: GROUP.to_owned(),
                devices: DEVICES,
            }],
            classes: vec![class()],
        },
        config: config.to_owned(),
    }
}

/// An assignment of all devices to two waves. Uploads are tried without it: its waves are not those of the plugin's plan.
pub(crate) fn assign(config: &str) -> AssignInput {
    let wave = |name: &str, members| PlannedWave {
        name: name.to_owned(),
        members,
    };
    let rows = DEVICES as u32;
    AssignInput {
        context: Context {
            started_at: None,
            ..context()
        },
        config: config.to_owned(),
        waves: vec![
            wave("trial", Members::Custom),
            wave("rest", Members::Custom),
        ],
        groups: vec![GROUP.to_owned()],
        classes: vec![class()],
        page: PageOf::ONLY,
        group: vec![0; rows as usize],
        class: vec![0; rows as usize],
        place: (0..rows).map(|row| row * (u32::MAX / rows)).collect(),
    }
}

pub(crate) fn observation(config: &str) -> Observation {
    Observation {
        context: context(),
        firmware: firmware(),
        operator: Vec::new(),
        waves: waves(),
        durations: durations(),
        verdicts: Vec::new(),
        config: config.to_owned(),
        state: Vec::new(),
    }
}

pub(crate) fn check(config: &str) -> CheckInput {
    CheckInput {
        context: context(),
        firmware: firmware(),
        page: PageOf::ONLY,
        classes: vec![class()],
        config: config.to_owned(),
    }
}

pub(crate) fn health(config: &str) -> HealthInput {
    HealthInput {
        context: context(),
        firmware: firmware(),
        total: counts(),
        failures: Vec::new(),
        waves: waves(),
        durations: durations(),
        metrics: Vec::new(),
        checks: Vec::new(),
        config: config.to_owned(),
        state: Vec::new(),
    }
}

fn context() -> Context {
    // An arbitrary but constant time.
    let start = Timestamp(1_750_000_000_000);
    Context {
        now: start.plus(Duration::from_hours(1)),
        seed: 1,
        started_at: Some(start),
        max_in_flight: None,
        failure_ceiling: 5_000,
        update_timeout: Duration::from_hours(1),
        auto_rollback: true,
        facts: Vec::new(),
    }
}

fn firmware() -> FirmwareFacts {
    FirmwareFacts {
        name: "trial".to_owned(),
        version: "1.1.0".to_owned(),
        device_model: Some("trial".to_owned()),
        size: 1_000_000,
        modules: vec![ModuleFacts {
            part: "os".to_owned(),
            name: "trial".to_owned(),
            version: "1.1.0".to_owned(),
            size: 1_000_000,
        }],
        ..FirmwareFacts::default()
    }
}

fn class() -> DeviceClass {
    DeviceClass {
        key: ClassKey {
            hardware_model: Some("trial".to_owned()),
            hardware_revision: Some("1.0".to_owned()),
            version: Some("1.0.0".to_owned()),
            attributes: Vec::new(),
        },
        devices: DEVICES,
    }
}

fn waves() -> Vec<WaveReport> {
    vec![WaveReport {
        name: "trial".to_owned(),
        size: DEVICES,
        released: 10,
        counts: counts(),
        opened_at: context().started_at,
        last_progress_at: context().started_at,
        advanced_at: None,
        failures: Vec::new(),
        durations: durations(),
    }]
}

fn durations() -> Durations {
    Durations {
        count: 5,
        p50: Duration::from_mins(1),
        p95: Duration::from_mins(2),
    }
}

fn counts() -> Counts {
    Counts {
        pending: DEVICES - 10,
        in_progress: 5,
        completed: 5,
        ..Counts::default()
    }
}
