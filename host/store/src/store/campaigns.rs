use async_trait::async_trait;
use tidegate_core::{
    campaign::{Campaign, CampaignSpec},
    id::{CampaignId, DeviceKey, TenantId},
};
use tidegate_engine::{
    Ctx,
    ports::{
        CampaignChange, CampaignDetail, CampaignFilter, CampaignStart, CampaignSummary, Campaigns,
        Membership, NewCampaign, NewJournalEntry, Page, PageRequest, Repin, StoreError, Wave,
    },
};

use super::SqlStore;
use crate::campaigns::{
    campaign, change, create, delete, edit, failed_start, membership, read, repin, start, waves,
};

#[async_trait]
impl Campaigns for SqlStore {
    async fn create_campaign(
        &self,
        ctx: &Ctx,
        campaign: NewCampaign,
    ) -> Result<CampaignId, StoreError> {
        create::create(&self.database, ctx, campaign).await
    }

    async fn campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> Result<Option<Campaign>, StoreError> {
        campaign(&mut self.database.read_single().await?, tenant, id).await
    }

    async fn campaign_detail(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> Result<Option<CampaignDetail>, StoreError> {
        read::detail(&mut self.database.read().await?, tenant, id).await
    }

    async fn list_campaigns(
        &self,
        tenant: TenantId,
        filter: &CampaignFilter,
        page: PageRequest,
    ) -> Result<Page<CampaignSummary>, StoreError> {
        read::page(&mut self.database.read().await?, tenant, *filter, page).await
    }

    async fn started_campaigns(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        page: PageRequest,
    ) -> Result<Page<Campaign>, StoreError> {
        read::started(&mut self.database.read().await?, tenant, device, page).await
    }

    async fn change_campaign(
        &self,
        ctx: &Ctx,
        campaign: &Campaign,
        change: CampaignChange,
    ) -> Result<bool, StoreError> {
        change::change(&self.database, ctx, campaign, change).await
    }

    async fn edit_campaign(
        &self,
        ctx: &Ctx,
        campaign: &Campaign,
        spec: CampaignSpec,
    ) -> Result<bool, StoreError> {
        edit::edit(&self.database, ctx, campaign, spec).await
    }

    async fn campaigns_of_other_contracts(
        &self,
        tenant: TenantId,
        contracts: &[&str],
    ) -> Result<Vec<CampaignId>, StoreError> {
        repin::of_other_contracts(&self.database, tenant, contracts).await
    }

    async fn repin_campaign(
        &self,
        ctx: &Ctx,
        campaign: &Campaign,
        repin: Repin,
    ) -> Result<bool, StoreError> {
        repin::repin(&self.database, ctx, campaign, repin).await
    }

    async fn delete_campaign(&self, ctx: &Ctx, id: CampaignId) -> Result<bool, StoreError> {
        delete::delete(&self.database, ctx, id).await
    }

    async fn start_campaign(
        &self,
        ctx: &Ctx,
        campaign: &Campaign,
        campaign_start: CampaignStart,
    ) -> Result<bool, StoreError> {
        start::start(&self.database, ctx, campaign, campaign_start).await
    }

    async fn record_failed_start(
        &self,
        tenant: TenantId,
        campaign: &Campaign,
        journal: Vec<NewJournalEntry>,
        explain: Vec<String>,
    ) -> Result<bool, StoreError> {
        let database = &self.database;
        failed_start::record_failed_start(database, tenant, campaign, &journal, &explain).await
    }

    async fn waves(&self, tenant: TenantId, id: CampaignId) -> Result<Vec<Wave>, StoreError> {
        waves(&mut self.database.read().await?, tenant, id).await
    }

    async fn membership(
        &self,
        tenant: TenantId,
        id: CampaignId,
        device: DeviceKey,
    ) -> Result<Membership, StoreError> {
        membership::membership(&mut self.database.read().await?, tenant, id, device).await
    }
}
