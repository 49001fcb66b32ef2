//! The component of `after_campaign`.

tidegate_plugin_sdk::export_strategy!(tidegate_trials::after_campaign::AfterCampaign);
