use tidegate_plugin_sdk::testing::{check_schema, check_schema_refuses, compatibility_goldens};

use super::*;

#[test]
fn goldens() {
    compatibility_goldens::<VersionPath>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
}

#[test]
fn the_schema_matches_the_config() {
    check_schema::<VersionPath>();
    check_schema_refuses::<VersionPath>(&[
        r#"{"intermediate": [{"from": "<2.0.0", "to": ">=3.0.0"}]}"#,
        r#"{"intermediate": [{"from": "<2.0.0", "to": ">=3.0.0", "via": "two"}]}"#,
        r#"{"intermediate": [{"from": "<2.x.0", "to": ">=3.0.0", "via": "2.5.0"}]}"#,
        r#"{"intermediate": [{"from": "<3.0.0", "to": ">=3.0.0", "via": "2.5.0"}]}"#,
        r#"{"allow_downgrades": true}"#,
    ]);
}
