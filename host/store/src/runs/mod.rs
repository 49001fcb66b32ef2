//! Campaigns, as the loops keep them going.

mod admit;
mod apply;
mod call_back;
mod due;
mod expire;
mod lease;
mod passed_over;
mod run;
mod send_back;
mod superseded;

#[cfg(test)]
mod tests;

pub(crate) use passed_over::{look_again, passed_over};

use async_trait::async_trait;
use tidegate_core::{plugin::Scope, time::Timestamp};
use tidegate_engine::ports::{
    Admitted, Applied, Fence, Offer, Returned, Run, RunRef, Runs, StoreError, Touched,
};

use crate::SqlStore;

#[async_trait]
impl Runs for SqlStore {
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<RunRef>, StoreError> {
        due::due(&mut self.database.once().await?, now, limit).await
    }

    async fn wake(&self, run: RunRef, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.write().await?;
        due::wake(&mut tx, run, at).await?;
        tx.commit().await
    }

    async fn lease(
        &self,
        run: RunRef,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Fence>, StoreError> {
        lease::lease(&self.database, run, owner, now, until).await
    }

    async fn release(&self, run: RunRef, fence: Fence) -> Result<(), StoreError> {
        lease::release(&self.database, run, fence).await
    }

    async fn run(&self, run: RunRef) -> Result<Option<Run>, StoreError> {
        run::run(&self.database, run).await
    }

    async fn apply(&self, run: RunRef, fence: Fence, applied: Applied) -> Result<bool, StoreError> {
        apply::apply(&self.database, run, fence, applied).await
    }

    async fn admit(
        &self,
        run: RunRef,
        fence: Fence,
        wave: u32,
        limit: u32,
        offer: &Offer,
    ) -> Result<Admitted, StoreError> {
        admit::admit(&self.database, run, fence, wave, limit, offer).await
    }

    async fn admit_after_all(
        &self,
        run: RunRef,
        fence: Fence,
        limit: u32,
        offer: &Offer,
    ) -> Result<Vec<Touched>, StoreError> {
        passed_over::admit_after_all(&self.database, run, fence, limit, offer).await
    }

    async fn call_back(
        &self,
        run: RunRef,
        fence: Fence,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Touched>, StoreError> {
        call_back::call_back(&self.database, run, fence, limit, now).await
    }

    async fn send_back(
        &self,
        run: RunRef,
        fence: Fence,
        scope: Scope,
        limit: u32,
        offer: &Offer,
    ) -> Result<Returned, StoreError> {
        send_back::send_back(&self.database, run, fence, scope, limit, offer).await
    }

    async fn expire(&self, now: Timestamp, limit: u32) -> Result<Vec<Touched>, StoreError> {
        expire::expire(&self.database, now, limit).await
    }
}
