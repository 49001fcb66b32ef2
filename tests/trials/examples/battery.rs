//! The component of `battery`.

tidegate_plugin_sdk::export_strategy!(tidegate_trials::battery::Battery);
