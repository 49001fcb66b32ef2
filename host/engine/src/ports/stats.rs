use async_trait::async_trait;
use tidegate_core::{
    id::{CampaignId, TenantId},
    time::Timestamp,
};

use super::StoreError;

/// Figures for people and for metrics. They are read from counters that are kept with every change: none of these
/// methods counts devices or updates.
#[async_trait]
pub trait Statistics: Send + Sync {
    /// A tenant's figures. `since` bounds the figures "of late".
    async fn stats(&self, tenant: TenantId, since: Timestamp) -> Result<Stats, StoreError>;

    /// When a campaign's counters last changed; none: no such campaign or no change yet.
    async fn last_progress_at(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> Result<Option<Timestamp>, StoreError>;
}

/// A tenant's figures; each list is ordered by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Devices by state.
    pub devices_by_state: Vec<(String, u64)>,
    /// Devices by reported version; the empty name: unknown.
    pub devices_by_version: Vec<(String, u64)>,
    /// Devices by reported hardware model; the empty name: unknown.
    pub devices_by_model: Vec<(String, u64)>,
    /// Devices that report another version than their last completed update brought.
    pub drifted_devices: u64,
    /// Updates by status.
    pub updates_by_status: Vec<(String, u64)>,
    /// Campaigns by status.
    pub campaigns_by_status: Vec<(String, u64)>,
    /// Updates that completed since then.
    pub completed_recently: u64,
    /// Updates that failed or timed out since then.
    pub failed_recently: u64,
    /// When an update of this tenant last changed.
    pub last_change: Option<Timestamp>,
}
