use tidegate_plugin_sdk::testing::{check_schema, check_schema_refuses, strategy_goldens};

use super::*;

#[test]
fn goldens() {
    strategy_goldens::<BlueGreen>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
}

#[test]
fn the_schema_matches_the_config() {
    check_schema::<BlueGreen>();
    check_schema_refuses::<BlueGreen>(&[
        "{}",
        r#"{"green_group": []}"#,
        r#"{"green_group": ["a", "a"]}"#,
        r#"{"green_group": ["lab*"]}"#,
        r#"{"green_group": ["a"], "blue_group": ["a"]}"#,
        r#"{"green_group": "a"}"#,
    ]);
}
