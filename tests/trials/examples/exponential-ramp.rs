//! The component of `exponential_ramp`.

tidegate_plugin_sdk::export_strategy!(tidegate_trials::exponential_ramp::ExponentialRamp);
