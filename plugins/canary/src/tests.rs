use tidegate_plugin_sdk::testing::{check_schema, check_schema_refuses, strategy_goldens};

use super::*;

#[test]
fn goldens() {
    strategy_goldens::<Canary>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
}

#[test]
fn the_schema_matches_the_config() {
    check_schema::<Canary>();
    check_schema_refuses::<Canary>(&[
        r#"{"canary_percentage": 0}"#,
        r#"{"canary_percentage": 101}"#,
        r#"{"canary_percentage": "10"}"#,
        r#"{"canary_duration_minutes": -1}"#,
        r#"{"steps": [50, 50]}"#,
        r#"{"steps": [0]}"#,
        r#"{"require_approval": "yes"}"#,
        r#"{"canaries": 3}"#,
    ]);
}
