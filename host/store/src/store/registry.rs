use async_trait::async_trait;
use tidegate_core::{
    id::{CampaignId, DeviceKey, TenantId},
    mode::SkipReason,
    time::Timestamp,
};
use tidegate_engine::{
    Ctx,
    ports::{AttributeChange, ChangeError, DeviceChange, Page, PageRequest, Registry, StoreError},
};

use super::SqlStore;
use crate::{
    attribute_changes,
    devices::{change, delete},
    runs,
};

#[async_trait]
impl Registry for SqlStore {
    async fn change_device(
        &self,
        ctx: &Ctx,
        device_id: &str,
        change: DeviceChange,
    ) -> Result<Vec<CampaignId>, ChangeError> {
        change::change(&self.database, ctx, device_id, &change).await
    }

    async fn delete_device(
        &self,
        ctx: &Ctx,
        device_id: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<CampaignId>>, StoreError> {
        delete::delete(&self.database, ctx, device_id, now).await
    }

    async fn skip_reason(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        device: DeviceKey,
    ) -> Result<Option<SkipReason>, StoreError> {
        runs::skip_reason(
            &mut self.database.read_single().await?,
            tenant,
            campaign,
            device,
        )
        .await
    }

    async fn attribute_changes(
        &self,
        tenant: TenantId,
        device_id: &str,
        page: PageRequest,
    ) -> Result<Option<Page<AttributeChange>>, StoreError> {
        attribute_changes::page(&self.database, tenant, device_id, page).await
    }
}
