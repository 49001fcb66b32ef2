use tidegate_plugin_sdk::testing::{check_schema, health_goldens};

use super::*;

#[test]
fn goldens() {
    health_goldens::<FailureRate>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn the_schema_tells_the_truth() {
    check_schema::<FailureRate>();
}
