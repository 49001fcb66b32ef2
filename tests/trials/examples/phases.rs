//! The component of `phases`.

tidegate_plugin_sdk::export_strategy!(tidegate_trials::phases::Phases);
