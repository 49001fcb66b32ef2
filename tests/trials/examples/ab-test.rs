//! The component of `ab_test`.

tidegate_plugin_sdk::export_strategy!(tidegate_trials::ab_test::AbTest);
