use super::Violation;
use crate::plugin::{Decision, Observation, Outcome};

/// How far each wave is released after a decision: never less than before.
pub type Levels = Vec<u64>;

/// Checks a decision against what it was made on, and answers the new level of every wave.
pub fn check_decision(
    observation: &Observation,
    parallel: bool,
    decision: &Decision,
) -> Result<Levels, Violation> {
    let levels = new_levels(observation, decision)?;
    let releases = levels
        .iter()
        .zip(&observation.waves)
        .any(|(level, wave)| *level > wave.released);
    if releases {
        check_release(observation, parallel, decision, &levels)?;
    }
    check_outcome(observation, &decision.outcome)?;
    Ok(levels)
}

fn new_levels(observation: &Observation, decision: &Decision) -> Result<Levels, Violation> {
    let mut wanted: Vec<Option<u64>> = vec![None; observation.waves.len()];
    for admission in &decision.admissions {
        let index = usize::try_from(admission.wave).unwrap_or(usize::MAX);
        let wave = observation
            .waves
            .get(index)
            .ok_or(Violation::UnknownWave(admission.wave))?;
        if admission.devices > wave.size {
            let (wave, size, admitted) = (admission.wave, wave.size, admission.devices);
            return Err(Violation::MoreThanTheWave {
                wave,
                size,
                admitted,
            });
        }
        if wanted[index].replace(admission.devices).is_some() {
            return Err(Violation::AdmittedTwice(admission.wave));
        }
    }
    // A lower level recalls nobody.
    let levels = wanted.iter().zip(&observation.waves);
    Ok(levels
        .map(|(wanted, wave)| wanted.unwrap_or(0).max(wave.released))
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
        Outcome::Proceed | Outcome::AwaitOperator(_)
    ) {
        return Err(Violation::ReleasesAndStops(decision.outcome.as_str()));
    }
    let stop = observation
        .verdicts
        .iter()
        .find(|verdict| verdict.verdict.severity() >= 2);
    if let Some(stop) = stop {
        return Err(Violation::Stopped(stop.policy.clone()));
    }
    if !parallel {
        check_turns(observation, levels)?;
    }
    check_in_flight(observation, levels)
}

fn check_turns(observation: &Observation, levels: &Levels) -> Result<(), Violation> {
    let mut before_are_open = true;
    for (index, (level, wave)) in (0_u32..).zip(levels.iter().zip(&observation.waves)) {
        if *level > 0 && !before_are_open {
            return Err(Violation::OutOfTurn(index));
        }
        // An empty wave has nothing to open: it holds nobody up.
        before_are_open &= *level > 0 || wave.size == 0;
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

fn check_outcome(observation: &Observation, outcome: &Outcome) -> Result<(), Violation> {
    match outcome {
        Outcome::AwaitOperator(gate) => {
            let wave = observation
                .waves
                .get(usize::try_from(*gate).unwrap_or(usize::MAX));
            match wave {
                None => Err(Violation::UnknownWave(*gate)),
                Some(wave) if wave.released > 0 => Err(Violation::GatePassed(*gate)),
                Some(_) => Ok(()),
            }
        }
        Outcome::Complete => {
            let in_flight: u64 = observation
                .waves
                .iter()
                .map(|wave| wave.released.saturating_sub(wave.counts.finished()))
                .sum();
            if in_flight == 0 {
                Ok(())
            } else {
                Err(Violation::CompleteInFlight(in_flight))
            }
        }
        Outcome::Proceed | Outcome::Hold(_) | Outcome::RollBack(_) | Outcome::Fail(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        plugin::{Admission, Context, FirmwareFacts, HealthVerdict, PolicyVerdict},
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
            moved_at: None,
            advanced_at: None,
            failures: Vec::new(),
        };
        Observation {
            context,
            firmware: FirmwareFacts::default(),
            operator: Vec::new(),
            waves: waves.iter().map(report).collect(),
            verdicts: Vec::new(),
            config: "{}".into(),
            state: Vec::new(),
        }
    }

    fn decision(admissions: &[(u32, u64)], outcome: Outcome) -> Decision {
        let admissions = admissions.iter().map(|(wave, devices)| Admission {
            wave: *wave,
            devices: *devices,
        });
        Decision {
            admissions: admissions.collect(),
            outcome,
            wake_after: None,
            state: Vec::new(),
            explain: Vec::new(),
        }
    }

    #[test]
    fn a_lying_decision_is_refused_whole() {
        let waves = [(10, 10, 4), (20, 0, 0), (30, 0, 0)];
        for (admissions, limit, outcome, expected) in [
            (
                &[(3, 1)][..],
                None,
                Outcome::Proceed,
                Violation::UnknownWave(3),
            ),
            (
                &[(1, 1), (1, 1)],
                None,
                Outcome::Proceed,
                Violation::AdmittedTwice(1),
            ),
            (
                &[(1, 21)],
                None,
                Outcome::Proceed,
                Violation::MoreThanTheWave {
                    wave: 1,
                    size: 20,
                    admitted: 21,
                },
            ),
            (&[(2, 1)], None, Outcome::Proceed, Violation::OutOfTurn(2)),
            (
                &[(1, 2)],
                Some(7),
                Outcome::Proceed,
                Violation::TooManyInFlight {
                    in_flight: 8,
                    limit: 7,
                },
            ),
            (
                &[(1, 1)],
                None,
                Outcome::Complete,
                Violation::ReleasesAndStops("complete"),
            ),
            (
                &[(1, 1)],
                None,
                Outcome::Hold("no".into()),
                Violation::ReleasesAndStops("hold"),
            ),
            (&[], None, Outcome::Complete, Violation::CompleteInFlight(6)),
            (
                &[],
                None,
                Outcome::AwaitOperator(0),
                Violation::GatePassed(0),
            ),
            (
                &[],
                None,
                Outcome::AwaitOperator(9),
                Violation::UnknownWave(9),
            ),
        ] {
            let observation = observation(&waves, limit);
            assert_eq!(
                check_decision(&observation, false, &decision(admissions, outcome)),
                Err(expected)
            );
        }
    }

    #[test]
    fn a_level_said_twice_is_said_once_and_lowered_recalls_nobody() {
        let observation = observation(&[(10, 6, 6), (5, 0, 0)], Some(5));
        let levels = |admissions| {
            check_decision(&observation, false, &decision(admissions, Outcome::Proceed))
        };
        assert_eq!(levels(&[(0, 6)]), Ok(vec![6, 0]));
        assert_eq!(levels(&[(0, 2)]), Ok(vec![6, 0]));
        assert_eq!(levels(&[(0, 10), (1, 1)]), Ok(vec![10, 1]));
    }

    #[test]
    fn nothing_is_released_while_a_policy_says_stop() {
        let mut observation = observation(&[(10, 1, 1)], None);
        let verdict = HealthVerdict::Hold("too many failures".into());
        observation.verdicts = vec![PolicyVerdict {
            policy: "failure-rate".into(),
            verdict,
            confidence: 10_000,
        }];
        let check = |admissions| {
            check_decision(&observation, false, &decision(admissions, Outcome::Proceed))
        };
        assert_eq!(
            check(&[(0, 2)]),
            Err(Violation::Stopped("failure-rate".into()))
        );
        assert_eq!(check(&[(0, 1)]), Ok(vec![1]));
    }
}
