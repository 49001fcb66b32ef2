use super::{MAX_GATE_NAME, Violation};
use crate::{
    Named as _,
    plugin::{Decision, DecisionOutcome, Gate, Observation},
};

/// Release level of each wave after a decision; levels never decrease.
pub type Levels = Vec<u64>;

/// Checks a decision against its observation and returns the new level of every wave.
pub fn check_decision(
    observation: &Observation,
    parallel: bool,
    decision: &Decision,
) -> Result<Levels, Violation> {
    let levels = new_levels(observation, decision)?;
    let releases_more = levels
        .iter()
        .zip(&observation.waves)
        .any(|(level, wave)| *level > wave.released);
    if releases_more {
        check_release(observation, parallel, decision, &levels)?;
    }
    check_outcome(observation, &decision.outcome)?;
    Ok(levels)
}

fn new_levels(observation: &Observation, decision: &Decision) -> Result<Levels, Violation> {
    let mut requested: Vec<Option<u64>> = vec![None; observation.waves.len()];
    for release in &decision.releases {
        let index = usize::try_from(release.wave).unwrap_or(usize::MAX);
        let wave = observation
            .waves
            .get(index)
            .ok_or(Violation::UnknownWave(release.wave))?;
        if release.devices > wave.size {
            return Err(Violation::LevelAboveWaveSize {
                wave: release.wave,
                size: wave.size,
                released: release.devices,
            });
        }
        if requested[index].replace(release.devices).is_some() {
            return Err(Violation::DuplicateLevel(release.wave));
        }
    }
    // A lower level withdraws no device.
    let levels = requested.iter().zip(&observation.waves);
    Ok(levels
        .map(|(requested, wave)| requested.unwrap_or(0).max(wave.released))
        .collect())
}

fn check_release(
    observation: &Observation,
    parallel: bool,
    decision: &Decision,
    levels: &Levels,
) -> Result<(), Violation> {
    if !matches!(
        decision.outcome,
        DecisionOutcome::Proceed | DecisionOutcome::AwaitOperator(_)
    ) {
        return Err(Violation::ReleaseWithStop(decision.outcome.as_str()));
    }
    let stop = observation
        .verdicts
        .iter()
        .find(|verdict| verdict.verdict.severity() >= 2);
    if let Some(stop) = stop {
        return Err(Violation::StoppedByPolicy(stop.policy.clone()));
    }
    if !parallel {
        check_order(observation, levels)?;
    }
    check_in_flight(observation, levels)
}

fn check_order(observation: &Observation, levels: &Levels) -> Result<(), Violation> {
    let mut earlier_waves_open = true;
    for (index, (level, wave)) in (0_u32..).zip(levels.iter().zip(&observation.waves)) {
        if *level > 0 && !earlier_waves_open {
            return Err(Violation::OutOfOrder(index));
        }
        // An empty wave never opens, so later waves do not wait for it.
        earlier_waves_open &= *level > 0 || wave.size == 0;
    }
    Ok(())
}

fn check_in_flight(observation: &Observation, levels: &Levels) -> Result<(), Violation> {
    let Some(limit) = observation.context.max_in_flight else {
        return Ok(());
    };
    let waves = levels.iter().zip(&observation.waves);
    let in_flight: u64 = waves
        .map(|(level, wave)| level.saturating_sub(wave.counts.finished()))
        .sum();
    if in_flight > limit {
        return Err(Violation::TooManyInFlight { in_flight, limit });
    }
    Ok(())
}

fn check_outcome(observation: &Observation, outcome: &DecisionOutcome) -> Result<(), Violation> {
    match outcome {
        DecisionOutcome::AwaitOperator(gate) => check_gate(observation, gate),
        DecisionOutcome::Complete(reason) => check_complete(observation, reason.as_deref()),
        DecisionOutcome::Proceed
        | DecisionOutcome::Hold(_)
        | DecisionOutcome::RollBack(_)
        | DecisionOutcome::Fail(_) => Ok(()),
    }
}

fn check_gate(observation: &Observation, gate: &Gate) -> Result<(), Violation> {
    if !(1..=MAX_GATE_NAME).contains(&gate.name.chars().count()) {
        return Err(Violation::GateName);
    }
    let Some(before) = gate.before else {
        return Ok(());
    };
    let index = usize::try_from(before).unwrap_or(usize::MAX);
    match observation.waves.get(index) {
        None => Err(Violation::UnknownWave(before)),
        Some(wave) if wave.released > 0 => Err(Violation::GateAlreadyPassed(before)),
        Some(_) => Ok(()),
    }
}

fn check_complete(observation: &Observation, reason: Option<&str>) -> Result<(), Violation> {
    let waves = &observation.waves;
    let in_flight: u64 = waves
        .iter()
        .map(|wave| wave.released.saturating_sub(wave.counts.finished()))
        .sum();
    if in_flight > 0 {
        return Err(Violation::CompleteInFlight(in_flight));
    }
    let never_released: u64 = waves
        .iter()
        .map(|wave| wave.size.saturating_sub(wave.released))
        .sum();
    if never_released > 0 && reason.is_none_or(str::is_empty) {
        return Err(Violation::CompleteWithoutReason(never_released));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        measurement::Durations,
        plugin::{Context, FirmwareFacts, HealthVerdict, PolicyVerdict, Release},
        time::Timestamp,
        wave::{Counts, WaveReport},
    };

    fn observation(waves: &[(u64, u64, u64)], max_in_flight: Option<u64>) -> Observation {
        let context = Context {
            now: Timestamp(0),
            seed: 1,
            started_at: None,
            max_in_flight,
            failure_ceiling: 2000,
            update_timeout: Duration::from_mins(1),
            auto_rollback: true,
            facts: Vec::new(),
        };
        let report = |(size, released, completed): &(u64, u64, u64)| WaveReport {
            name: "wave".into(),
            size: *size,
            released: *released,
            counts: Counts {
                pending: size - released,
                offered: released - completed,
                completed: *completed,
                ..Counts::default()
            },
            opened_at: None,
            last_progress_at: None,
            advanced_at: None,
            failures: Vec::new(),
            durations: Durations::default(),
        };
        Observation {
            context,
            firmware: FirmwareFacts::default(),
            operator: Vec::new(),
            waves: waves.iter().map(report).collect(),
            durations: Durations::default(),
            verdicts: Vec::new(),
            config: "{}".into(),
            state: Vec::new(),
        }
    }

    fn decision(releases: &[(u32, u64)], outcome: DecisionOutcome) -> Decision {
        let releases = releases.iter().map(|(wave, devices)| Release {
            wave: *wave,
            devices: *devices,
        });
        Decision {
            releases: releases.collect(),
            outcome,
            wake_after: None,
            state: Vec::new(),
            explain: Vec::new(),
        }
    }

    fn gate(name: &str, before: Option<u32>) -> DecisionOutcome {
        DecisionOutcome::AwaitOperator(Gate {
            name: name.to_owned(),
            before,
        })
    }

    #[test]
    fn decisions_that_break_a_rule_are_refused_whole() {
        let waves = [(10, 10, 4), (20, 0, 0), (30, 0, 0)];
        for (releases, limit, outcome, expected) in [
            (
                &[(3, 1)][..],
                None,
                DecisionOutcome::Proceed,
                Violation::UnknownWave(3),
            ),
            (
                &[(1, 1), (1, 1)],
                None,
                DecisionOutcome::Proceed,
                Violation::DuplicateLevel(1),
            ),
            (
                &[(1, 21)],
                None,
                DecisionOutcome::Proceed,
                Violation::LevelAboveWaveSize {
                    wave: 1,
                    size: 20,
                    released: 21,
                },
            ),
            (
                &[(2, 1)],
                None,
                DecisionOutcome::Proceed,
                Violation::OutOfOrder(2),
            ),
            (
                &[(1, 2)],
                Some(7),
                DecisionOutcome::Proceed,
                Violation::TooManyInFlight {
                    in_flight: 8,
                    limit: 7,
                },
            ),
            (
                &[(1, 1)],
                None,
                DecisionOutcome::Complete(None),
                Violation::ReleaseWithStop("complete"),
            ),
            (
                &[(1, 1)],
                None,
                DecisionOutcome::Hold("no".into()),
                Violation::ReleaseWithStop("hold"),
            ),
            (
                &[],
                None,
                DecisionOutcome::Complete(None),
                Violation::CompleteInFlight(6),
            ),
            (
                &[],
                None,
                gate("ok", Some(0)),
                Violation::GateAlreadyPassed(0),
            ),
            (&[], None, gate("ok", Some(9)), Violation::UnknownWave(9)),
            (&[], None, gate("", Some(1)), Violation::GateName),
            (&[], None, gate(&"x".repeat(101), None), Violation::GateName),
        ] {
            let observation = observation(&waves, limit);
            assert_eq!(
                check_decision(&observation, false, &decision(releases, outcome)),
                Err(expected)
            );
        }
    }

    #[test]
    fn levels_are_idempotent_and_never_decrease() {
        let observation = observation(&[(10, 6, 6), (5, 0, 0)], Some(5));
        let levels = |releases| {
            check_decision(
                &observation,
                false,
                &decision(releases, DecisionOutcome::Proceed),
            )
        };
        assert_eq!(levels(&[(0, 6)]), Ok(vec![6, 0]));
        assert_eq!(levels(&[(0, 2)]), Ok(vec![6, 0]));
        assert_eq!(levels(&[(0, 10), (1, 1)]), Ok(vec![10, 1]));
    }

    #[test]
    fn a_campaign_that_never_released_a_device_completes_with_a_reason() {
        let observation = observation(&[(10, 10, 10), (5, 0, 0)], None);
        let complete = |reason: Option<&str>| {
            let outcome = DecisionOutcome::Complete(reason.map(str::to_owned));
            check_decision(&observation, false, &decision(&[], outcome))
        };
        assert_eq!(complete(Some("the canaries were enough")), Ok(vec![10, 0]));
        for missing in [None, Some("")] {
            assert_eq!(complete(missing), Err(Violation::CompleteWithoutReason(5)));
        }
    }

    #[test]
    fn a_gate_may_be_inside_a_wave() {
        let observation = observation(&[(10, 5, 5)], None);
        let outcome = gate("half of the wave", None);
        let checked = check_decision(&observation, false, &decision(&[(0, 5)], outcome));
        assert_eq!(checked, Ok(vec![5]));
    }

    #[test]
    fn nothing_is_released_while_a_policy_stops_the_campaign() {
        let mut observation = observation(&[(10, 1, 1)], None);
        let verdict = HealthVerdict::Hold("too many failures".into());
        observation.verdicts = vec![PolicyVerdict {
            policy: "failure-rate".into(),
            verdict,
            confidence: 10_000,
        }];
        let check = |releases| {
            check_decision(
                &observation,
                false,
                &decision(releases, DecisionOutcome::Proceed),
            )
        };
        assert_eq!(
            check(&[(0, 2)]),
            Err(Violation::StoppedByPolicy("failure-rate".into()))
        );
        assert_eq!(check(&[(0, 1)]), Ok(vec![1]));
    }
}
