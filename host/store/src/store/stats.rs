use async_trait::async_trait;
use tidegate_core::{
    id::{CampaignId, TenantId},
    time::Timestamp,
};
use tidegate_engine::ports::{OverdueRule, Statistics, Stats, StoreError};

use super::SqlStore;
use crate::stats;

#[async_trait]
impl Statistics for SqlStore {
    async fn stats(
        &self,
        tenant: TenantId,
        since: Timestamp,
        overdue: Option<&OverdueRule>,
    ) -> Result<Stats, StoreError> {
        stats::stats(&self.database, tenant, since, overdue).await
    }

    async fn stats_without_values(
        &self,
        tenant: TenantId,
        since: Timestamp,
        overdue: Option<&OverdueRule>,
    ) -> Result<Stats, StoreError> {
        stats::stats_without_values(&self.database, tenant, since, overdue).await
    }

    async fn delete_old_hours(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        stats::delete_old_hours(&self.database, before, limit).await
    }

    async fn last_progress_at(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> Result<Option<Timestamp>, StoreError> {
        stats::last_progress_at(&self.database, tenant, campaign).await
    }
}
