use tidegate_plugin_sdk::testing::{check_schema, check_schema_refuses, health_goldens};

use super::*;

#[test]
fn goldens() {
    health_goldens::<Timeout>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
}

#[test]
fn the_schema_matches_the_config() {
    check_schema::<Timeout>();
    check_schema_refuses::<Timeout>(&[
        r#"{"max_timed_out_percent": -1}"#,
        r#"{"max_p95_minutes": 0}"#,
        r#"{"minimum_sample": 0}"#,
        r#"{"action": "stop"}"#,
        r#"{"p95": 1}"#,
    ]);
}
