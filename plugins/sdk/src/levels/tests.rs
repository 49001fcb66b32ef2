use super::*;
use crate::{
    testing::{NOW, counts, observation, wave},
    types::{HealthVerdict, RollBack, Scope},
};

fn levels(decision: &Decision) -> Vec<(u32, u64)> {
    let releases = decision.releases.iter();
    releases
        .map(|release| (release.wave, release.devices))
        .collect()
}

fn two_waves() -> Observation {
    observation(
        "{}",
        vec![
            wave("first", 10).with_counts(counts(3, 1, 0)),
            wave("second", 10),
        ],
    )
}

#[test]
fn levels_are_brought_within_wave_and_limit() {
    for (limit, at_once, proposed, expect) in [
        (None, None, [7, 0], vec![(0, 7)]),
        (None, None, [20, 20], vec![(0, 10), (1, 10)]),
        (None, None, [2, 0], vec![]),
        (Some(5), None, [7, 4], vec![(0, 6)]),
        (Some(50), Some(8), [7, 4], vec![(0, 7), (1, 2)]),
    ] {
        let mut observation = two_waves();
        observation.context.max_in_flight = limit;
        let decision = within_limits(&observation, at_once, || Ok(Decision::levels(proposed)));
        let decision = decision.expect("a decision");
        assert_eq!(levels(&decision), expect, "{limit:?} {at_once:?}");
        let is_limited = decision.explain.iter().any(|text| text.contains("limit"));
        assert_eq!(is_limited, limit.is_some(), "{:?}", decision.explain);
    }
}

#[test]
fn a_policy_that_stops_comes_before_the_strategy() {
    let rollback = HealthVerdict::RollBack(RollBack {
        scope: Scope::InFlight,
        reason: "bad".to_owned(),
    });
    for verdict in [HealthVerdict::Hold("bad".to_owned()), rollback] {
        let mut observation = two_waves().with_verdict("tidegate/timeout", verdict);
        observation.state = vec![1, 2];
        let decision = within_limits(&observation, None, || Err("called".to_owned()));
        let decision = decision.expect("a decision");
        assert_eq!(decision.releases, []);
        assert_ne!(decision.outcome, Outcome::Proceed);
        assert_eq!(decision.state, observation.state);
    }
}

#[test]
fn an_inconclusive_policy_keeps_waves_closed_but_the_first() {
    let inconclusive = HealthVerdict::Inconclusive("too few".to_owned());
    let observation = two_waves().with_verdict("tidegate/timeout", inconclusive.clone());
    let propose = || Ok(Decision::levels([10, 10]));
    let decision = within_limits(&observation, None, propose).expect("a decision");
    assert_eq!(levels(&decision), [(0, 10)]);
    assert!(decision.explain[0].contains("too few"));

    let closed = crate::testing::observation("{}", vec![wave("first", 10), wave("second", 10)])
        .with_verdict("tidegate/timeout", inconclusive);
    let decision = within_limits(&closed, None, propose).expect("a decision");
    assert_eq!(levels(&decision), [(0, 10), (1, 10)]);
}

#[test]
fn an_operator_opens_a_wave_that_the_strategy_keeps_closed() {
    let mut observation = two_waves();
    observation.waves[1].advanced_at = Some(NOW);
    for (proposed, expect) in [([4, 0], 10), ([4, 3], 3)] {
        let decision = within_limits(&observation, None, || Ok(Decision::levels(proposed)));
        let decision = decision.expect("a decision");
        assert_eq!(levels(&decision), [(1, expect)]);
    }
}

#[test]
fn a_decision_that_stops_releases_nothing() {
    let mut stop = Decision::levels([10, 10]);
    stop.outcome = Outcome::Hold("enough".to_owned());
    let decision = within_limits(&two_waves(), None, || Ok(stop)).expect("a decision");
    assert_eq!(decision.releases, []);
    assert_eq!(decision.outcome, Outcome::Hold("enough".to_owned()));
}

#[test]
fn a_strategy_may_wait_before_the_end() {
    let done = || wave("first", 10).with_counts(counts(0, 10, 0));
    let ended = observation("{}", vec![done()]);
    let wait = || Ok(Decision::wait("The end soaks.", 1000));
    let decision = within_limits(&ended, None, wait).expect("a decision");
    assert_eq!(decision.outcome, Outcome::Complete(None));
    let held = ended.with_verdict("tidegate/timeout", HealthVerdict::Hold("late".to_owned()));
    let decision = within_limits_until_complete(&held, None, wait).expect("a decision");
    assert_eq!(
        (decision.outcome, decision.wake_after),
        (Outcome::Proceed, Some(1000))
    );
}
