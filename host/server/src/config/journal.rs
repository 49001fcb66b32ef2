use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_engine::JournalSettings;

use super::ConfigError;

/// Enough for the plan and the first decisions of a campaign of many devices.
const MIN_BYTES_PER_CAMPAIGN: u64 = 1 << 20;
/// A century.
const MAX_RETENTION_DAYS: u32 = 36_525;

/// Size of the journals of campaigns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// Maximum size of the journal of a campaign, in bytes. A campaign that has reached it is held.
    pub max_bytes_per_campaign: u64,
    /// Days after which an entry is removed; 0: entries are kept as long as their campaign.
    pub retention_days: u32,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            max_bytes_per_campaign: JournalSettings::default().max_bytes_per_campaign,
            retention_days: 0,
        }
    }
}

impl Journal {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let bytes = self.max_bytes_per_campaign;
        if bytes < MIN_BYTES_PER_CAMPAIGN {
            let why = format!("is {bytes}, and must be at least {MIN_BYTES_PER_CAMPAIGN}");
            return Err(ConfigError::new("journal.max_bytes_per_campaign", why));
        }
        if self.retention_days > MAX_RETENTION_DAYS {
            let why = format!("must be at most {MAX_RETENTION_DAYS}, or 0 to keep all entries");
            return Err(ConfigError::new("journal.retention_days", why));
        }
        Ok(())
    }

    /// The engine's settings.
    pub fn settings(&self) -> JournalSettings {
        let days = u64::from(self.retention_days);
        JournalSettings {
            max_bytes_per_campaign: self.max_bytes_per_campaign,
            retention: (days > 0).then(|| Duration::from_hours(24 * days)),
        }
    }
}
