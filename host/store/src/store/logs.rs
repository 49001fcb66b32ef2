use async_trait::async_trait;
use tidegate_core::id::{TenantId, UpdateId};
use tidegate_engine::ports::{Log, Logs, StoreError};

use super::SqlStore;
use crate::updates::log;

#[async_trait]
impl Logs for SqlStore {
    async fn log(
        &self,
        tenant: TenantId,
        update: UpdateId,
        after: u64,
        limit: u32,
    ) -> Result<Log, StoreError> {
        log::read(
            &mut self.database.read().await?,
            tenant,
            update,
            after,
            limit,
        )
        .await
    }
}
