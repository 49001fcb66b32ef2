use std::time::Duration;

use tidegate_core::{device::AttributeNames, polling::PollInterval, settings::DdiLinks};

use crate::BuiltIns;

/// Settings from the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Unique name of this server. It is the holder of its leases.
    pub server_name: String,
    /// The plugins that were built with this server.
    pub built_ins: BuiltIns,
    /// Polling interval for tenants that set none.
    pub polling: PollInterval,
    /// Names of the links to files for tenants that set none.
    pub ddi_links: DdiLinks,
    /// Whether devices without a token are authenticated, and registered at their first poll.
    pub anonymous_devices: bool,
    /// Names of the attributes that the server itself interprets.
    pub attribute_names: AttributeNames,
    /// Maximum number of device reports that wait for the store.
    pub waiting_reports: usize,
    /// How long a request of a device may wait for the database.
    pub device_wait: Duration,
    /// Maximum size of a firmware file, in bytes.
    pub max_artifact_bytes: u64,
    /// Size of the journals.
    pub journal: JournalSettings,
    /// Maximum number of devices in one `assign` call.
    pub assign_rows: usize,
    /// Duration of leases: on a campaign, and on the execution of a keyed request. A lease is renewed several times in its
    /// duration; another server may take over when it is not.
    pub lease: Duration,
    /// Minimum time between two ticks of one campaign.
    pub tick_pause: Duration,
    /// Maximum time between two searches for due campaigns and expired updates.
    pub tick_period: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server_name: "tidegate".to_owned(),
            built_ins: BuiltIns::default(),
            polling: PollInterval {
                interval: Duration::from_mins(5),
                jitter_percent: 0,
            },
            ddi_links: DdiLinks::default(),
            anonymous_devices: false,
            attribute_names: AttributeNames::default(),
            waiting_reports: 10_000,
            device_wait: Duration::from_secs(5),
            max_artifact_bytes: 16 << 30,
            journal: JournalSettings::default(),
            assign_rows: 1_000_000,
            lease: Duration::from_secs(10),
            tick_pause: Duration::from_millis(250),
            tick_period: Duration::from_secs(1),
        }
    }
}

/// Size of the journals of campaigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalSettings {
    /// Maximum size of the journal of a campaign, in bytes. A campaign that has reached it is held.
    pub max_bytes_per_campaign: u64,
    /// How long an entry is kept; `None`: as long as its campaign.
    pub retention: Option<Duration>,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self {
            max_bytes_per_campaign: 256 << 20,
            retention: None,
        }
    }
}
