use async_trait::async_trait;
use tidegate_core::{
    device::AutoConfirm,
    id::{DeviceKey, TenantId},
};
use tidegate_engine::ports::{AutoConfirmation, StoreError};

use super::SqlStore;
use crate::updates::auto_confirm;

#[async_trait]
impl AutoConfirmation for SqlStore {
    async fn auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
    ) -> Result<Option<AutoConfirm>, StoreError> {
        auto_confirm::read(&mut self.database.read_single().await?, tenant, device).await
    }
}
