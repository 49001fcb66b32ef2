use tidegate_plugin_sdk::{
    testing::{check_schema, check_schema_refuses, health_goldens, health_input, wave},
    types::Counts,
};

use super::*;

#[test]
fn one_refusal_holds_the_campaign_unless_it_is_tolerated() {
    let refused = Counts {
        rejected: 1,
        ..Counts::zero()
    };
    let input = health_input("{}", vec![wave("all", 10).with_counts(refused)]);
    let answer = Refusals::evaluate(&input, &Config::default()).expect("an answer");
    assert!(matches!(answer.verdict, HealthVerdict::Hold(_)));
    let answer = Refusals::evaluate(&input, &Config { tolerated: 1 }).expect("an answer");
    assert_eq!(answer.verdict, HealthVerdict::Healthy);
}

#[test]
fn the_schema_matches_the_config() {
    check_schema::<Refusals>();
    check_schema_refuses::<Refusals>(&[r#"{"tolerated": -1}"#, r#"{"tolerate": 1}"#]);
}

#[test]
fn goldens() {
    health_goldens::<Refusals>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
}
