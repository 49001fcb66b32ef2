//! The component of `one_device_first`.

tidegate_plugin_sdk::export_strategy!(tidegate_trials::one_device_first::OneDeviceFirst);
