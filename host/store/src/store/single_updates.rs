use async_trait::async_trait;
use tidegate_core::{
    id::{DeviceKey, TenantId},
    wave::Counts,
};
use tidegate_engine::{
    Ctx,
    ports::{
        CancelledUpdates, Offer, OfferOverrides, OfferResult, OfferedBy, SingleUpdates, StoreError,
    },
};

use super::SqlStore;
use crate::updates::single_updates;

#[async_trait]
impl SingleUpdates for SqlStore {
    async fn create_updates(
        &self,
        tenant: TenantId,
        devices: &[DeviceKey],
        offer: &Offer,
        force: bool,
        by: Option<&OfferedBy>,
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
    ) -> Result<(OfferResult, CancelledUpdates), StoreError> {
        single_updates::roll_back_device(&self.database, ctx, device, offer, overrides, reason)
            .await
    }

    async fn totals(&self, tenant: TenantId, device: DeviceKey) -> Result<Counts, StoreError> {
        single_updates::totals(&mut self.database.read_single().await?, tenant, device).await
    }
}
