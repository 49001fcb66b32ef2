//! The component of `follow_the_sun`.

tidegate_plugin_sdk::export_strategy!(tidegate_trials::follow_the_sun::FollowTheSun);
