use tidegate_plugin_sdk::testing::{check_schema, check_schema_refuses, compatibility_goldens};

use super::*;

#[test]
fn goldens() {
    compatibility_goldens::<Hardware>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
}

#[test]
fn the_schema_matches_the_config() {
    check_schema::<Hardware>();
    check_schema_refuses::<Hardware>(&[
        r#"{"models": [""]}"#,
        r#"{"models": ["a", "a"]}"#,
        r#"{"allow_unknown": 1}"#,
        r#"{"ignore_image": "yes"}"#,
        r#"{"model": "a"}"#,
    ]);
}
