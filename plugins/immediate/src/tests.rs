use tidegate_plugin_sdk::testing::{
    check_schema, check_schema_refuses, counts, observation, strategy_goldens, wave,
};

use super::*;

#[test]
fn goldens() {
    strategy_goldens::<Immediate>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
}

#[test]
fn the_schema_matches_the_config() {
    check_schema::<Immediate>();
    check_schema_refuses::<Immediate>(&[
        r#"{"batch_size": 0}"#,
        r#"{"batch_size": 1.5}"#,
        r#"{"batchsize": 1}"#,
    ]);
}

#[test]
fn a_batch_is_refilled_as_devices_end() {
    let config = Config {
        batch_size: Some(10),
    };
    for (in_progress, completed, failed, level) in
        [(10, 0, 0, None), (7, 3, 0, Some(13)), (0, 9, 1, Some(20))]
    {
        let wave = wave("all", 100).with_counts(counts(in_progress, completed, failed));
        let decision = Immediate::decide(&observation("{}", vec![wave]), &config);
        let levels = decision.map(|decision| {
            let levels = decision.releases.iter().map(|admission| admission.devices);
            levels.collect::<Vec<_>>()
        });
        assert_eq!(levels, Ok(level.into_iter().collect()));
    }
}
