use tidegate_plugin_sdk::testing::{check_schema, strategy_goldens};

use super::*;

#[test]
fn goldens() {
    strategy_goldens::<BlueGreen>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn the_schema_tells_the_truth() {
    check_schema::<BlueGreen>();
}
