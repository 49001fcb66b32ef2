use tidegate_plugin_sdk::testing::{check_schema, check_schema_refuses, compatibility_goldens};

use super::*;

#[test]
fn goldens() {
    compatibility_goldens::<Latest>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
}

#[test]
fn the_schema_matches_the_config() {
    check_schema::<Latest>();
    check_schema_refuses::<Latest>(&[
        r#"{"allow_beta": 1}"#,
        r#"{"allow_unknown": "yes"}"#,
        r#"{"beta": true}"#,
    ]);
}
