//! The component of `rings`.

tidegate_plugin_sdk::export_strategy!(tidegate_trials::rings::Rings);
