use async_trait::async_trait;
use tidegate_core::{
    id::{ApprovalId, DeviceKey, TenantId},
    time::Timestamp,
    wave::Counts,
};
use tidegate_engine::{
    Ctx,
    ports::{
        AffectedDevice, ApprovalSummary, CancelledUpdates, Offer, OfferActor, OfferOverrides,
        OfferResult, SingleUpdates, StoreError,
    },
};

use super::SqlStore;
use crate::updates::{approvals, single_updates};

#[async_trait]
impl SingleUpdates for SqlStore {
    async fn create_updates(
        &self,
        tenant: TenantId,
        devices: &[DeviceKey],
        offer: &Offer,
        force: bool,
        by: Option<&OfferActor>,
    ) -> Result<Vec<OfferResult>, StoreError> {
        single_updates::create(&self.database, tenant, devices, offer, force, by).await
    }

    async fn roll_back_device(
        &self,
        ctx: &Ctx,
        device: DeviceKey,
        offer: &Offer,
        overrides: OfferOverrides,
        reason: &str,
        needs_approval: bool,
    ) -> Result<(OfferResult, CancelledUpdates), StoreError> {
        single_updates::roll_back_device(
            &self.database,
            ctx,
            device,
            offer,
            overrides,
            reason,
            needs_approval,
        )
        .await
    }

    async fn approval(
        &self,
        tenant: TenantId,
        id: ApprovalId,
    ) -> Result<Option<ApprovalSummary>, StoreError> {
        approvals::read(&self.database, tenant, id).await
    }

    async fn complete_approval(&self, tenant: TenantId, id: ApprovalId) -> Result<(), StoreError> {
        approvals::complete(&self.database, tenant, id).await
    }

    async fn decide_approval(
        &self,
        ctx: &Ctx,
        id: ApprovalId,
        is_approved: bool,
        comment: &str,
    ) -> Result<bool, StoreError> {
        approvals::decide(&self.database, ctx, id, is_approved, comment).await
    }

    async fn apply_approval(
        &self,
        tenant: TenantId,
        id: ApprovalId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<AffectedDevice>, StoreError> {
        approvals::apply(&self.database, tenant, id, now, limit).await
    }

    async fn unapplied_approvals(
        &self,
        limit: u32,
    ) -> Result<Vec<(TenantId, ApprovalId)>, StoreError> {
        approvals::unapplied(&self.database, limit).await
    }

    async fn totals(&self, tenant: TenantId, device: DeviceKey) -> Result<Counts, StoreError> {
        single_updates::totals(&mut self.database.read_single().await?, tenant, device).await
    }
}
