use tidegate_plugin_sdk::testing::{
    assignment_goldens, check_schema, check_schema_refuses, health_goldens, strategy_goldens,
};

/// Runs a trial's goldens, and checks its schema, which must refuse these configs.
macro_rules! trial {
    ($module:ident, $plugin:ident, $goldens:ident, $folder:literal, $refused:expr) => {
        mod $module {
            use super::*;
            use crate::$module::$plugin;

            #[test]
            fn goldens() {
                $goldens::<$plugin>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/", $folder));
            }

            #[test]
            fn the_schema_matches_the_config() {
                check_schema::<$plugin>();
                check_schema_refuses::<$plugin>(&$refused);
            }
        }
    };
}

trial!(
    ab_test,
    AbTest,
    strategy_goldens,
    "ab-test",
    [
        "{}",
        r#"{"metric": "m", "minimum_sample": 29}"#,
        r#"{"metric": "m", "better": "equal"}"#
    ]
);
trial!(
    after_campaign,
    AfterCampaign,
    strategy_goldens,
    "after-campaign",
    ["{}", r#"{"campaign": 0}"#, r#"{"campaign": "7"}"#]
);
trial!(
    bandwidth_cap,
    BandwidthCap,
    strategy_goldens,
    "bandwidth-cap",
    [
        "{}",
        r#"{"bytes_per_hour": 0}"#,
        r#"{"bytes_per_hour": 1.5}"#
    ]
);
trial!(
    battery,
    Battery,
    strategy_goldens,
    "battery",
    [
        r#"{"above_percent": -1}"#,
        r#"{"above_percent": 100}"#,
        r#"{"attribute": "a==b"}"#
    ]
);
trial!(
    exponential_ramp,
    ExponentialRamp,
    strategy_goldens,
    "exponential-ramp",
    [r#"{"factor": 1}"#, r#"{"initial_devices": 0}"#]
);
trial!(
    follow_the_sun,
    FollowTheSun,
    strategy_goldens,
    "follow-the-sun",
    [
        r#"{"zones": [], "from_hour": 22, "until_hour": 4}"#,
        r#"{"zones": ["Asia/Tokyo"], "from_hour": 22, "until_hour": 22}"#,
        r#"{"zones": ["Asia/Tokyo"], "from_hour": 22, "until_hour": 24}"#
    ]
);
trial!(
    one_device_first,
    OneDeviceFirst,
    strategy_goldens,
    "one-device-first",
    [r#"{"patience_minutes": 0}"#]
);
trial!(
    phases,
    Phases,
    strategy_goldens,
    "phases",
    [
        r#"{"phases": []}"#,
        r#"{"phases": [{"group": "north", "starts_at": "tomorrow"}]}"#,
        r#"{"phases": [{"group": "north", "starts_at": "2026-02-30T00:00:00Z"}]}"#
    ]
);
trial!(
    rings,
    Rings,
    strategy_goldens,
    "rings",
    [
        r#"{"rings": []}"#,
        r#"{"rings": [{"group": "lab", "error_percentage": 101}]}"#
    ]
);
trial!(
    site_canaries,
    SiteCanaries,
    assignment_goldens,
    "site-canaries",
    [
        r#"{"canaries_per_site": 0}"#,
        r#"{"attribute": "the site"}"#
    ]
);
trial!(
    sprt,
    Sprt,
    health_goldens,
    "sprt",
    [
        r#"{"acceptable_percentage": 10}"#,
        r#"{"acceptable_percentage": 0}"#,
        r#"{"error_percentage": 50}"#
    ]
);
trial!(
    stepped_analysis,
    SteppedAnalysis,
    strategy_goldens,
    "stepped-analysis",
    [
        r#"{"steps": []}"#,
        r#"{"steps": [{"weight": 20, "gate": "both"}]}"#,
        r#"{"steps": [{"weight": 20}, {"weight": 20}]}"#,
        r#"{"steps": [{"set_weight": 20}]}"#
    ]
);
