//! Updates, and what devices say of them.

mod attributes;
pub(crate) mod consent;
mod history;
mod kept;
pub(crate) mod ledger;
mod log;
mod read;
mod record;
mod row;
mod singles;
mod told;

#[cfg(test)]
mod tests;

pub(crate) use record::Reports;

use async_trait::async_trait;
use tidegate_core::id::{TenantId, UpdateId};
use tidegate_engine::ports::{
    AttributesReport, FeedbackRow, InstalledReport, Page, PageRequest, RecordError, Recorded,
    Report, StoreError, Told, UpdateFilter, UpdateRow, Updates,
};

use crate::SqlStore;

use record::Said;

#[async_trait]
impl Updates for SqlStore {
    async fn update(
        &self,
        tenant: TenantId,
        id: UpdateId,
    ) -> Result<Option<UpdateRow>, StoreError> {
        read::one(&mut self.database.point().await?, tenant, id).await
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
        history::history(&mut self.database.once().await?, tenant, id, limit).await
    }

    async fn messages(
        &self,
        tenant: TenantId,
        id: UpdateId,
        limit: u32,
    ) -> Result<Vec<FeedbackRow>, StoreError> {
        history::messages(&mut self.database.once().await?, tenant, id, limit).await
    }

    async fn record(&self, report: Report) -> Result<Recorded, RecordError> {
        self.reports.submit(Said::Event(report)).await?
    }

    async fn record_attributes(&self, report: AttributesReport) -> Result<Recorded, RecordError> {
        self.reports.submit(Said::Attributes(report)).await?
    }

    async fn record_installed(&self, report: InstalledReport) -> Result<Told, RecordError> {
        told::record(&self.database, &report).await
    }
}
