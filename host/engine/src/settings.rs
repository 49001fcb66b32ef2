use std::time::Duration;

use tidegate_core::{device::AttributeNames, polling::PollInterval};

/// What an operator may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Names this host in leases.
    pub owner: String,
    /// How often devices are to poll whose tenant says nothing of it.
    pub polling: PollInterval,
    /// Whether devices without a token are let in, and registered at their first poll.
    pub anonymous_devices: bool,
    /// Which attributes the host reads itself.
    pub attribute_names: AttributeNames,
    /// Most reports of devices that wait for the store at once.
    pub waiting_reports: usize,
    /// Largest file of a firmware, in bytes.
    pub max_artifact_bytes: u64,
    /// How long a host may work on a campaign before another may take it, and for how long it is believed to be doing a
    /// request that has a key, when it says nothing.
    pub lease: Duration,
    /// Shortest time between two looks at one campaign.
    pub tick_pause: Duration,
    /// Longest time between two looks at the list of campaigns and deadlines.
    pub tick_period: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            owner: "tidegate".to_owned(),
            polling: PollInterval {
                interval: Duration::from_mins(5),
                jitter_percent: 0,
            },
            anonymous_devices: false,
            attribute_names: AttributeNames::default(),
            waiting_reports: 10_000,
            max_artifact_bytes: 16 << 30,
            lease: Duration::from_secs(30),
            tick_pause: Duration::from_millis(250),
            tick_period: Duration::from_secs(1),
        }
    }
}
