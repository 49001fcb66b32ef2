//! The component of `sprt`.

tidegate_plugin_sdk::export_health_policy!(tidegate_trials::sprt::Sprt);
