use async_trait::async_trait;
use tidegate_core::{
    id::{CampaignId, TenantId},
    time::Timestamp,
};
use tidegate_engine::ports::{Journal, JournalEntry, Page, PageRequest, RecordedCall, StoreError};

use super::SqlStore;
use crate::{journal, runs::old_entries};

#[async_trait]
impl Journal for SqlStore {
    async fn journal(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        after: i64,
        page: PageRequest,
    ) -> Result<Page<JournalEntry>, StoreError> {
        journal::journal(&self.database, tenant, campaign, after, page).await
    }

    async fn recorded_call(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        seq: i64,
    ) -> Result<Option<RecordedCall>, StoreError> {
        journal::recorded_call(&self.database, tenant, campaign, seq).await
    }

    async fn next_recorded_call(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        after: i64,
    ) -> Result<Option<RecordedCall>, StoreError> {
        journal::next_recorded_call(&self.database, tenant, campaign, after).await
    }

    async fn last_removed_entry(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> Result<i64, StoreError> {
        journal::last_removed_entry(&self.database, tenant, campaign).await
    }

    async fn remove_old_entries(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        old_entries::remove_old_entries(&self.database, before, limit).await
    }
}
