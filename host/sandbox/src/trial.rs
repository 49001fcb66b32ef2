//! A small invented campaign for the trial calls of uploaded plugins, and for samples of goldens.

use std::time::Duration;

use tidegate_core::{
    checker::check_plan,
    id::DeviceKey,
    measurement::Durations,
    plugin::{
        AssignInput, Census, CheckInput, ClassKey, Context, DeviceClass, FirmwareFacts, GroupSize,
        HealthInput, Members, ModuleFacts, Observation, PageOf, Plan, PlanInput, PlannedWave,
    },
    selection::{Candidate, MembershipInput, resolve},
    time::Timestamp,
    wave::{Counts, WaveReport},
};

const DEVICES: u64 = 100;
const GROUP: &str = "trial";
/// Devices of the first wave that are released.
const RELEASED: u64 = 10;

/// The inputs of the trial calls.
pub(crate) struct Trial<'a> {
    config: &'a str,
    /// What the plugin itself planned for the campaign.
    plan: Option<&'a Plan>,
}

impl<'a> Trial<'a> {
    /// A trial with this config, JSON text.
    pub(crate) fn new(config: &'a str) -> Self {
        Self { config, plan: None }
    }

    /// The trial of a strategy that answered `plan` with this. A plan that a server would refuse has no waves.
    pub(crate) fn with_plan(self, plan: Option<&'a Plan>) -> Self {
        Self {
            plan: plan.filter(|plan| check_plan(plan).is_ok()),
            ..self
        }
    }

    pub(crate) fn config(&self) -> String {
        self.config.to_owned()
    }

    pub(crate) fn plan(&self) -> PlanInput {
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
            config: self.config(),
        }
    }

    /// An assignment of all devices to the waves of the plugin's own plan, if one of them is to be filled, or else to two
    /// invented ones.
    pub(crate) fn assign(&self) -> AssignInput {
        let wave = |name: &str| PlannedWave {
            name: name.to_owned(),
            members: Members::Custom,
        };
        let to_fill = self.plan.filter(|plan| has_waves_to_fill(plan));
        let waves = to_fill.map_or_else(
            || vec![wave("trial"), wave("rest")],
            |plan| plan.waves.clone(),
        );
        let rows = DEVICES as u32;
        AssignInput {
            context: Context {
                started_at: None,
                ..context()
            },
            config: self.config(),
            waves,
            groups: vec![GROUP.to_owned()],
            classes: vec![class()],
            page: PageOf::ONLY,
            group: vec![0; rows as usize],
            class: vec![0; rows as usize],
            place: (0..rows).map(|row| row * (u32::MAX / rows)).collect(),
        }
    }

    pub(crate) fn observation(&self) -> Observation {
        Observation {
            context: context(),
            firmware: firmware(),
            operator: Vec::new(),
            waves: self
                .plan
                .map_or_else(|| vec![open_wave("trial", DEVICES)], waves_of),
            durations: durations(RELEASED),
            verdicts: Vec::new(),
            config: self.config(),
            state: Vec::new(),
        }
    }

    pub(crate) fn check(&self) -> CheckInput {
        CheckInput {
            context: context(),
            firmware: firmware(),
            page: PageOf::ONLY,
            classes: vec![class()],
            config: self.config(),
        }
    }

    pub(crate) fn health(&self) -> HealthInput {
        let wave = open_wave("trial", DEVICES);
        HealthInput {
            context: context(),
            firmware: firmware(),
            total: wave.counts,
            failures: Vec::new(),
            durations: wave.durations,
            waves: vec![wave],
            metrics: Vec::new(),
            checks: Vec::new(),
            config: self.config(),
            state: Vec::new(),
        }
    }
}

/// Whether the plan has waves that `assign` gives their members.
fn has_waves_to_fill(plan: &Plan) -> bool {
    let mut waves = plan.waves.iter();
    waves.any(|wave| wave.members == Members::Custom)
}

/// The waves of a plan: the first one that has devices is open, the others wait.
fn waves_of(plan: &Plan) -> Vec<WaveReport> {
    let mut has_opened = false;
    let sized = plan.waves.iter().zip(sizes(plan));
    sized
        .map(|(wave, size)| {
            let opens = !has_opened && size > 0;
            has_opened |= opens;
            if opens {
                open_wave(&wave.name, size)
            } else {
                closed_wave(&wave.name, size)
            }
        })
        .collect()
}

/// The sizes of a plan's waves. A wave that chooses devices, by a selector or by `assign`, gets an even part of them. No
/// device has an id that a plan could name.
fn sizes(plan: &Plan) -> Vec<u64> {
    let candidates: Vec<_> = (0..DEVICES)
        .map(|number| Candidate {
            key: DeviceKey(number.cast_signed()),
            device_id: String::new(),
            order_key: number,
        })
        .collect();
    let mut answers = MembershipInput::default();
    for (at, candidate) in candidates.iter().enumerate() {
        let wave = at % plan.waves.len();
        answers.assigned.push(wave as u32);
        let selected = answers.selected.entry(wave).or_default();
        selected.insert(candidate.key);
    }
    let waves = resolve(plan, &candidates, &answers);
    waves.iter().map(|members| members.len() as u64).collect()
}

fn open_wave(name: &str, size: u64) -> WaveReport {
    let released = RELEASED.min(size);
    let completed = released / 2;
    WaveReport {
        released,
        counts: Counts {
            pending: size - released,
            in_progress: released - completed,
            completed,
            ..Counts::default()
        },
        opened_at: context().started_at,
        last_progress_at: context().started_at,
        durations: durations(released),
        ..closed_wave(name, size)
    }
}

fn closed_wave(name: &str, size: u64) -> WaveReport {
    WaveReport {
        name: name.to_owned(),
        size,
        released: 0,
        counts: Counts {
            pending: size,
            ..Counts::default()
        },
        opened_at: None,
        last_progress_at: None,
        advanced_at: None,
        failures: Vec::new(),
        durations: Durations::default(),
    }
}

/// The durations of the updates of so many released devices, of which half are completed.
fn durations(released: u64) -> Durations {
    let count = released / 2;
    if count == 0 {
        return Durations::default();
    }
    Durations {
        count,
        p50: Duration::from_mins(1),
        p95: Duration::from_mins(2),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(members: Vec<Members>) -> Plan {
        let waves = members
            .into_iter()
            .zip(0..)
            .map(|(members, number)| PlannedWave {
                name: format!("wave {number}"),
                members,
            });
        Plan {
            waves: waves.collect(),
            parallel: false,
            dynamic: false,
        }
    }

    #[test]
    fn the_waves_of_a_trial_are_those_of_the_plugins_plan() {
        let selector = || Members::Selector("hw_revision==1.0".into());
        for (members, sizes) in [
            (vec![Members::Rest], vec![100]),
            (
                vec![Members::Share(100), Members::Share(2500), Members::Rest],
                vec![1, 25, 74],
            ),
            (
                vec![Members::Devices(vec!["pi-1".into()]), Members::Rest],
                vec![0, 100],
            ),
            (vec![selector(), Members::Rest], vec![50, 50]),
            (vec![Members::Custom, Members::Custom], vec![50, 50]),
        ] {
            let plan = plan(members);
            let waves = Trial::new("{}").with_plan(Some(&plan)).observation().waves;
            let named = waves.iter().map(|wave| (&*wave.name, wave.size));
            let expected = plan.waves.iter().map(|wave| &*wave.name).zip(sizes);
            assert_eq!(named.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            for wave in &waves {
                assert_eq!(wave.counts.total(), wave.size);
                assert_eq!(
                    wave.counts.finished() + wave.counts.in_flight(),
                    wave.released
                );
                assert_eq!(wave.opened_at.is_some(), wave.released > 0);
            }
            let opened = waves.iter().position(|wave| wave.released > 0);
            assert_eq!(opened, waves.iter().position(|wave| wave.size > 0));
        }
    }

    #[test]
    fn a_refused_plan_has_no_waves() {
        for refused in [plan(Vec::new()), plan(vec![Members::Share(20_000)])] {
            let trial = Trial::new("{}").with_plan(Some(&refused));
            assert_eq!(trial.observation(), Trial::new("{}").observation());
            assert_eq!(trial.assign(), Trial::new("{}").assign());
        }
    }
}
