use async_trait::async_trait;
use tidegate_core::id::{TenantId, UpdateId};
use tidegate_engine::ports::{
    DeviceReport, FeedbackRow, Page, PageRequest, RecordError, RecordedReport, StoreError,
    UpdateFilter, UpdateRow, Updates,
};

use super::SqlStore;
use crate::updates::{history, read};

#[async_trait]
impl Updates for SqlStore {
    async fn update(
        &self,
        tenant: TenantId,
        id: UpdateId,
    ) -> Result<Option<UpdateRow>, StoreError> {
        self.update_reads.submit((tenant, id)).await
    }

    async fn list_updates(
        &self,
        tenant: TenantId,
        filter: &UpdateFilter,
        page: PageRequest,
    ) -> Result<Page<UpdateRow>, StoreError> {
        read::page(&mut self.database.read().await?, tenant, *filter, page).await
    }

    async fn history(
        &self,
        tenant: TenantId,
        id: UpdateId,
        limit: u32,
    ) -> Result<Vec<FeedbackRow>, StoreError> {
        history::history(&mut self.database.read_single().await?, tenant, id, limit).await
    }

    async fn messages(
        &self,
        tenant: TenantId,
        id: UpdateId,
        limit: u32,
    ) -> Result<Vec<FeedbackRow>, StoreError> {
        history::messages(&mut self.database.read_single().await?, tenant, id, limit).await
    }

    async fn report(&self, report: DeviceReport) -> Result<RecordedReport, RecordError> {
        self.reports.submit(report).await?
    }
}
