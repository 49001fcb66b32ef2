use tidegate_plugin_sdk::testing::{check_schema, check_schema_refuses, strategy_goldens};

use super::*;

#[test]
fn goldens() {
    strategy_goldens::<Staged>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
}

#[test]
fn the_schema_matches_the_config() {
    check_schema::<Staged>();
    check_schema_refuses::<Staged>(&[
        "{}",
        r#"{"stages": []}"#,
        r#"{"stages": [{"percentage": 0}]}"#,
        r#"{"stages": [{"percentage": 0.001}]}"#,
        r#"{"stages": [{"percentage": 50}, {"percentage": 50}]}"#,
        r#"{"stages": [{"percentage": 50, "duration_hours": -1}]}"#,
        r#"{"stages": [{"percentage": 50, "hours": 1}]}"#,
    ]);
}
