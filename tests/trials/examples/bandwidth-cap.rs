//! The component of `bandwidth_cap`.

tidegate_plugin_sdk::export_strategy!(tidegate_trials::bandwidth_cap::BandwidthCap);
