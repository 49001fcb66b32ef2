use async_trait::async_trait;
use tidegate_core::{
    id::{CampaignId, TenantId},
    time::Timestamp,
};

use super::{OverdueRule, StoreError};

/// Counters for people and for metrics. They are maintained with every change; none of these methods scans devices or
/// updates. Only devices that are overdue are counted when they are asked for: the cost grows with their number, and with
/// that of the devices last seen in the same hour as the newest of them.
#[async_trait]
pub trait Statistics: Send + Sync {
    /// A tenant's counters. `since` is the start of the period of the `recently` counters.
    async fn stats(
        &self,
        tenant: TenantId,
        since: Timestamp,
        overdue: Option<&OverdueRule>,
    ) -> Result<Stats, StoreError>;

    /// Like [`Self::stats`], without the devices by version and by model, of which there may be many.
    async fn stats_without_values(
        &self,
        tenant: TenantId,
        since: Timestamp,
        overdue: Option<&OverdueRule>,
    ) -> Result<Stats, StoreError>;

    /// Deletes up to `limit` counters of all tenants of hours before the one that contains `before`. Returns their number.
    async fn delete_old_hours(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// When the campaign's counters last changed. `None`: never, or the campaign does not exist.
    async fn last_progress_at(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> Result<Option<Timestamp>, StoreError>;
}

/// A tenant's counters. Lists are ordered by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Devices by state.
    pub devices_by_state: Vec<(String, u64)>,
    /// Devices by reported version; empty name: unknown.
    pub devices_by_version: Vec<(String, u64)>,
    /// Devices whose version was new when the tenant had the maximum of distinct ones.
    pub devices_of_other_version: u64,
    /// Devices by reported hardware model; empty name: unknown.
    pub devices_by_model: Vec<(String, u64)>,
    /// Devices whose model was new when the tenant had the maximum of distinct ones.
    pub devices_of_other_model: u64,
    /// Devices whose reported version differs from the one that their last completed update brought.
    pub drifted_devices: u64,
    /// Updates by status.
    pub updates_by_status: Vec<(String, u64)>,
    /// Campaigns by status.
    pub campaigns_by_status: Vec<(String, u64)>,
    /// Updates that completed in the period.
    pub completed_recently: u64,
    /// Updates that failed or timed out in the period.
    pub failed_recently: u64,
    /// The size of the journals of its campaigns.
    pub journal_bytes: u64,
    /// When an update of this tenant last changed.
    pub last_change: Option<Timestamp>,
}
