use tidegate_plugin_sdk::testing::{check_schema, check_schema_refuses, health_goldens};

use super::*;

#[test]
fn goldens() {
    health_goldens::<FailureRate>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
}

#[test]
fn the_schema_matches_the_config() {
    check_schema::<FailureRate>();
    check_schema_refuses::<FailureRate>(&[
        r#"{"threshold_percent": 0}"#,
        r#"{"threshold_percent": 101}"#,
        r#"{"minimum_sample": 0}"#,
        r#"{"kinds": []}"#,
        r#"{"kinds": ["cancelled"]}"#,
        r#"{"scope": "fleet"}"#,
        r#"{"action": "stop"}"#,
    ]);
}
