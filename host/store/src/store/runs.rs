use async_trait::async_trait;
use tidegate_core::{
    id::{TenantId, UpdateId},
    plugin::RollbackScope,
    time::Timestamp,
};
use tidegate_engine::ports::{
    AcceptedClass, AffectedDevice, CheckedUpdates, Fence, Offer, OfferedBatch, RollbackBatch, Run,
    RunRef, Runs, StoreError, TickOutcome, UpdateToCheck,
};

use super::SqlStore;
use crate::runs::{
    accepted_classes, apply, cancel, check, due, expire, lease, offer, recheck, retries, rollback,
    run, sort,
};

#[async_trait]
impl Runs for SqlStore {
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<RunRef>, StoreError> {
        due::due(&mut self.database.read_single().await?, now, limit).await
    }

    async fn lease(
        &self,
        run: RunRef,
        server_name: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Fence>, StoreError> {
        lease::lease(&self.database, run, server_name, now, until).await
    }

    async fn renew_lease(
        &self,
        run: RunRef,
        fence: Fence,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        lease::renew(&self.database, run, fence, until).await
    }

    async fn release(&self, run: RunRef, fence: Fence) -> Result<(), StoreError> {
        lease::release(&self.database, run, fence).await
    }

    async fn requeue(&self, run: RunRef, fence: Fence, at: Timestamp) -> Result<(), StoreError> {
        lease::requeue(&self.database, run, fence, at).await
    }

    async fn run(&self, run: RunRef) -> Result<Option<Run>, StoreError> {
        run::run(&self.database, run).await
    }

    async fn apply(
        &self,
        run: RunRef,
        fence: Fence,
        applied: TickOutcome,
    ) -> Result<bool, StoreError> {
        apply::apply(&self.database, run, fence, applied).await
    }

    async fn accepted_classes(&self, run: RunRef) -> Result<Vec<AcceptedClass>, StoreError> {
        accepted_classes::accepted_classes(&self.database, run).await
    }

    async fn sort_released(
        &self,
        run: RunRef,
        fence: Fence,
        wave: u32,
        limit: u32,
    ) -> Result<(), StoreError> {
        sort::sort_released(&self.database, run, fence, wave, limit).await
    }

    async fn offer_updates(
        &self,
        run: RunRef,
        fence: Fence,
        wave: u32,
        limit: u32,
        offer: &Offer,
        releases_lease: bool,
    ) -> Result<OfferedBatch, StoreError> {
        let database = &self.database;
        offer::offer_updates(database, run, fence, wave, limit, offer, releases_lease).await
    }

    async fn offer_skipped_updates(
        &self,
        run: RunRef,
        fence: Fence,
        limit: u32,
        offer: &Offer,
    ) -> Result<Vec<AffectedDevice>, StoreError> {
        recheck::offer_skipped_updates(&self.database, run, fence, limit, offer).await
    }

    async fn offer_due_retries(
        &self,
        run: RunRef,
        fence: Fence,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<AffectedDevice>, StoreError> {
        retries::offer_due_retries(&self.database, run, fence, limit, now).await
    }

    async fn cancel_updates(
        &self,
        run: RunRef,
        fence: Fence,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<AffectedDevice>, StoreError> {
        cancel::cancel_updates(&self.database, run, fence, limit, now).await
    }

    async fn create_rollback_updates(
        &self,
        run: RunRef,
        fence: Fence,
        scope: RollbackScope,
        limit: u32,
        offer: &Offer,
    ) -> Result<RollbackBatch, StoreError> {
        rollback::roll_back(&self.database, run, fence, scope, limit, offer).await
    }

    async fn expire_updates(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<AffectedDevice>, StoreError> {
        expire::expire(&self.database, now, limit).await
    }

    async fn updates_to_check(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<UpdateToCheck>, StoreError> {
        check::updates_to_check(&self.database, now, limit).await
    }

    async fn record_checks(
        &self,
        checked: &CheckedUpdates,
        now: Timestamp,
    ) -> Result<Vec<AffectedDevice>, StoreError> {
        check::record_checks(&self.database, checked, now).await
    }

    async fn postpone_check(
        &self,
        tenant: TenantId,
        update: UpdateId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        check::postpone_check(&self.database, tenant, update, now).await
    }
}
