use tidegate_plugin_sdk::{
    rollout::Outcome,
    testing::{check_schema, check_schema_refuses, counts, observation, strategy_goldens, wave},
};

use super::*;

#[test]
fn the_second_half_waits_for_the_first() {
    let first = wave("first half", 10).with_counts(counts(2, 8, 0));
    let observation = observation("{}", vec![first, wave("second half", 10)]);
    let decision = Halves::decide(&observation, &Config::default()).expect("a decision");
    assert_eq!(decision.outcome, Outcome::Proceed);
    assert!(decision.releases.iter().all(|release| release.wave != 1));
}

#[test]
fn the_schema_matches_the_config() {
    check_schema::<Halves>();
    check_schema_refuses::<Halves>(&[r#"{"pause_hours": -1}"#, r#"{"pause": 1}"#]);
}

#[test]
fn goldens() {
    strategy_goldens::<Halves>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
}
