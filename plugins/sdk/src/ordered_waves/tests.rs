use proptest::prelude::*;

use super::*;
use crate::{
    Percent, PromotionCriteria,
    rollout::OperatorActKind,
    testing::{NOW, counts, observation, operator_act, wave},
    types::{Attribute, HealthVerdict, RollBack, Scope},
};

fn open(_: WaveTransition<'_>) -> Gate {
    Gate::Open
}

fn hold(_: WaveTransition<'_>) -> Gate {
    Gate::Hold {
        reason: "no".to_owned(),
    }
}

fn levels(decision: &Decision) -> Vec<(u32, u64)> {
    let releases = decision.releases.iter();
    releases
        .map(|release| (release.wave, release.devices))
        .collect()
}

#[test]
fn released_devices_count_against_the_limit() {
    let mut first = wave("first", 10);
    first.released = 6;
    let mut observation = observation("{}", vec![first]);
    observation.context.max_in_flight = Some(8);
    let decision = in_order(&observation, None, open).expect("a decision");
    assert_eq!(levels(&decision), [(0, 8)]);
}

#[test]
fn a_lowered_limit_withdraws_no_device() {
    let first = wave("first", 10).with_counts(counts(6, 0, 0));
    let mut observation = observation("{}", vec![first]);
    observation.context.max_in_flight = Some(3);
    let decision = in_order(&observation, None, open).expect("a decision");
    assert_eq!(levels(&decision), []);
    assert_eq!(decision.outcome, Outcome::Proceed);
}

#[test]
fn a_device_that_waits_for_a_retry_does_not_count_against_a_limit() {
    for (campaign, config, level) in [
        // The host has raised its limit of 2 by the two waiting devices.
        (Some(4), None, 4),
        (None, Some(2), 4),
        (Some(4), Some(1), 3),
        (Some(3), Some(2), 3),
    ] {
        let first = wave("first", 10).with_counts(counts(2, 0, 0));
        let mut observation = observation("{}", vec![first]);
        observation.context.max_in_flight = campaign;
        observation.context.facts = vec![Attribute {
            key: "waiting-retries".to_owned(),
            value: "2".to_owned(),
        }];
        let decision = in_order(&observation, config, open).expect("a decision");
        assert_eq!(levels(&decision), [(0, level)], "{campaign:?} {config:?}");
    }
}

#[test]
fn a_reached_limit_names_the_devices_that_wait_for_a_retry() {
    let first = wave("first", 10).with_counts(counts(3, 0, 0));
    let mut observation = observation("{}", vec![first]);
    observation.context.max_in_flight = Some(3);
    observation.context.facts = vec![Attribute {
        key: "waiting-retries".to_owned(),
        value: "2".to_owned(),
    }];
    let decision = in_order(&observation, None, open).expect("a decision");
    assert_eq!(levels(&decision), []);
    let explained = decision.explain.join(" ");
    let expected =
        "The limit of 1 devices in flight is reached, not counting 2 that wait for a retry.";
    assert!(explained.contains(expected), "{explained}");
}

#[test]
fn the_smaller_limit_applies() {
    for (campaign, config, level) in [
        (Some(3), Some(5), 3),
        (Some(5), Some(3), 3),
        (Some(4), None, 4),
        (None, Some(4), 4),
        (None, None, 10),
    ] {
        let mut observation = observation("{}", vec![wave("first", 10)]);
        observation.context.max_in_flight = campaign;
        let decision = in_order(&observation, config, open).expect("a decision");
        assert_eq!(levels(&decision), [(0, level)]);
    }
}

#[test]
fn a_wave_opens_only_when_the_previous_one_is_fully_released() {
    let first = wave("first", 10).with_counts(counts(4, 0, 0));
    let observation = observation("{}", vec![first, wave("second", 10)]);
    let decision = in_order(&observation, None, open).expect("a decision");
    assert_eq!(levels(&decision), [(0, 10)]);
}

#[test]
fn the_first_of_the_worst_verdicts_applies() {
    let roll_back = |reason: &str| {
        HealthVerdict::RollBack(RollBack {
            scope: Scope::Everything,
            reason: reason.to_owned(),
        })
    };
    let observation = observation("{}", vec![wave("first", 10)])
        .with_verdict("a", HealthVerdict::Hold("one".to_owned()))
        .with_verdict("b", roll_back("two"))
        .with_verdict("c", roll_back("three"));
    let decision = in_order(&observation, None, open).expect("a decision");
    let Outcome::RollBack(request) = decision.outcome else {
        panic!("{:?}", decision.outcome)
    };
    assert_eq!(request.reason, "two");
    assert_eq!(decision.releases, []);
}

#[test]
fn a_resume_overrides_a_holding_gate_once() {
    let done = wave("first", 10).with_counts(counts(0, 10, 0));
    let mut observation = observation("{}", vec![done, wave("second", 10)]);
    let held = in_order(&observation, None, hold).expect("a decision");
    assert_eq!(held.outcome, Outcome::Hold("no".to_owned()));

    // Unchanged: the state keeps the time of the first hold.
    observation.state.clone_from(&held.state);
    observation.context.now += 1000;
    let again = in_order(&observation, None, hold).expect("a decision");
    assert_eq!(again, held);

    // An inconclusive policy keeps the wave closed and the state unchanged.
    let resumed = operator_act(NOW + 500, OperatorActKind::Resumed);
    observation.operator.push(resumed);
    let unsure = observation
        .clone()
        .with_verdict("a", HealthVerdict::Inconclusive("too few".to_owned()));
    let waits = in_order(&unsure, None, hold).expect("a decision");
    assert_eq!((levels(&waits), &waits.state), (vec![], &held.state));

    let continued = in_order(&observation, None, hold).expect("a decision");
    assert_eq!(levels(&continued), [(1, 10)]);
    assert!(continued.state.is_empty());
}

#[test]
fn an_advance_opens_the_next_wave_whatever_gate_is_shut() {
    let criteria = |soak_time| PromotionCriteria {
        success: Percent::new(80),
        soak_time,
        requires_approval: true,
    };
    let first = |counts| wave("first", 10).with_counts(counts);
    for (first, soak_time, gate) in [
        (first(counts(4, 6, 0)), 0, "has ended: 6 of 10 have."),
        (first(counts(0, 5, 5)), 0, "5 of 10 devices updated"),
        (first(counts(0, 10, 0)), 7_200_000, "soaks for 2 h"),
        (first(counts(0, 10, 0)), 0, "needs an operator's approval."),
    ] {
        let mut observation = observation("{}", vec![first, wave("second", 10), wave("third", 5)]);
        let criteria = criteria(soak_time);
        let decide = |observation: &Observation| {
            in_order(observation, None, |transition| criteria.gate(&transition))
                .expect("a decision")
        };
        assert_eq!(levels(&decide(&observation)), [], "{gate}");
        observation.waves[1].advanced_at = Some(NOW);
        let decision = decide(&observation);
        assert_eq!(levels(&decision), [(1, 10)], "{gate}");
        assert_eq!(decision.outcome, Outcome::Proceed, "{gate}");
        let past = "An operator advanced past this gate: ";
        assert!(
            decision
                .explain
                .iter()
                .any(|sentence| sentence.starts_with(past) && sentence.contains(gate)),
            "{:?}",
            decision.explain
        );
    }
}

#[test]
fn an_advance_overrides_an_inconclusive_policy_but_no_hold_and_no_limit() {
    let mut observation = observation(
        "{}",
        vec![
            wave("first", 10).with_counts(counts(2, 8, 0)),
            wave("second", 10),
        ],
    );
    observation.waves[1].advanced_at = Some(NOW);
    let decide = |observation: &Observation| in_order(observation, None, hold).expect("a decision");
    let unsure = HealthVerdict::Inconclusive("too few".to_owned());
    let advanced = decide(&observation.clone().with_verdict("a", unsure));
    assert_eq!(levels(&advanced), [(1, 10)]);

    let held = HealthVerdict::Hold("too hot".to_owned());
    let held = decide(&observation.clone().with_verdict("a", held));
    assert_eq!(held.outcome, Outcome::Hold("too hot".to_owned()));
    assert_eq!(levels(&held), []);

    observation.context.max_in_flight = Some(2);
    let full = decide(&observation);
    assert_eq!(levels(&full), []);
    assert!(
        full.explain
            .iter()
            .any(|sentence| sentence.ends_with("The limit of 2 devices in flight is reached."))
    );
}

#[test]
fn a_hold_releases_no_device() {
    // The limit would allow two more devices of the first wave.
    let mut first = wave("first", 10).with_counts(counts(1, 9, 0));
    first.size = 12;
    let observation = observation("{}", vec![first, wave("second", 10)]);
    let decision = in_order(&observation, None, hold).expect("a decision");
    assert_eq!(decision.outcome, Outcome::Hold("no".to_owned()));
    assert_eq!(levels(&decision), []);
}

#[test]
fn empty_waves_are_skipped_without_a_gate() {
    let done = wave("first", 1).with_counts(counts(0, 1, 0));
    let empty = || wave("empty", 0);
    for (waves, from, from_first, opened) in [
        (
            vec![done.clone(), empty(), empty(), wave("next", 1)],
            0,
            true,
            3,
        ),
        (vec![empty(), done.clone(), wave("next", 1)], 1, true, 2),
        (
            vec![done.clone(), done.clone(), empty(), wave("next", 1)],
            1,
            false,
            3,
        ),
    ] {
        let observation = observation("{}", waves);
        let decision = in_order(&observation, None, |transition| {
            assert_eq!((transition.from, transition.from_first), (from, from_first));
            Gate::Open
        });
        assert_eq!(levels(&decision.expect("a decision")), [(opened, 1)]);
    }
}

#[test]
fn the_criteria_of_the_first_wave_apply_to_the_first_with_devices() {
    let done = wave("canary", 1).with_counts(counts(0, 1, 0));
    let observation = observation("{}", vec![wave("empty", 0), done, wave("next", 1)]);
    let criteria = PromotionCriteria {
        success: Percent::ALL,
        soak_time: 0,
        requires_approval: true,
    };
    let decision = in_order(&observation, None, |transition| criteria.gate(&transition));
    let decision = decision.expect("a decision");
    let Outcome::AwaitOperator(gate) = &decision.outcome else {
        panic!("{:?}", decision.outcome)
    };
    assert_eq!(gate.before, Some(2));
    assert_eq!(levels(&decision), []);
}

#[test]
fn a_campaign_that_ends_with_empty_waves_completes() {
    let done = wave("first", 1).with_counts(counts(0, 1, 0));
    let observation = observation("{}", vec![done, wave("empty", 0)]);
    let decision = in_order(&observation, None, hold).expect("a decision");
    assert_eq!(decision.outcome, Outcome::Complete(None));
}

/// A minimal host that applies levels and ends devices.
struct Fleet {
    waves: Vec<WaveReport>,
    limit: Option<u64>,
}

impl Fleet {
    fn tick(&mut self, ending: u64, failing: bool) -> Decision {
        let mut observation = observation("{}", self.waves.clone());
        observation.context.max_in_flight = self.limit;
        let decision = in_order(&observation, None, open).expect("a decision");
        for admission in &decision.releases {
            self.release(admission);
        }
        let out: u64 = self.waves.iter().map(|wave| wave.counts.in_flight()).sum();
        assert!(self.limit.is_none_or(|limit| out <= limit), "{out} are out");
        for wave in &mut self.waves {
            let ended = ending.min(wave.counts.in_progress);
            wave.counts.in_progress -= ended;
            *(if failing {
                &mut wave.counts.failed
            } else {
                &mut wave.counts.completed
            }) += ended;
        }
        decision
    }

    fn release(&mut self, release: &Release) {
        let index = release.wave as usize;
        let before = self.waves[..index].iter();
        assert!(
            before.into_iter().all(|wave| wave.size == wave.released),
            "out of order"
        );
        let wave = &mut self.waves[index];
        assert!(wave.released < release.devices && release.devices <= wave.size);
        let more = release.devices - wave.released;
        wave.released = release.devices;
        wave.counts.pending -= more;
        wave.counts.in_progress += more;
    }
}

proptest! {
    #[test]
    fn every_device_is_released_within_the_limits(
        sizes in prop::collection::vec(0_u64..20, 0..6),
        limit in prop::option::of(1_u64..10),
        endings in prop::collection::vec((1_u64..8, any::<bool>()), 1..8),
    ) {
        let waves = sizes.iter().map(|size| wave("wave", *size)).collect();
        let mut fleet = Fleet { waves, limit };
        let all: u64 = sizes.iter().sum();
        // Each tick releases or ends at least one device, except for at most one tick per wave.
        let max_ticks = all * 2 + 20;
        let ticks = endings.iter().cycle().take(max_ticks as usize);
        let mut last = None;
        for (ending, failing) in ticks {
            let decision = fleet.tick(*ending, *failing);
            if decision.outcome == Outcome::Complete(None) {
                last = Some(decision);
                break;
            }
        }
        prop_assert!(last.is_some(), "not complete after {max_ticks} ticks");
        prop_assert!(fleet.waves.iter().all(|wave| wave.counts.ended() == wave.size));
    }
}
