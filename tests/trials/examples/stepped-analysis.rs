//! The component of `stepped_analysis`.

tidegate_plugin_sdk::export_strategy!(tidegate_trials::stepped_analysis::SteppedAnalysis);
