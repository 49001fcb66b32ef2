//! The component of `site_canaries`.

tidegate_plugin_sdk::export_strategy_with_assign!(tidegate_trials::site_canaries::SiteCanaries);
