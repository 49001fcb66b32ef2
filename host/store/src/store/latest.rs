use std::collections::HashSet;

use async_trait::async_trait;
use tidegate_core::id::{DeviceKey, FirmwareId, TenantId};
use tidegate_engine::ports::{LatestDevices, StoreError};

use super::SqlStore;
use crate::latest;

#[async_trait]
impl LatestDevices for SqlStore {
    async fn dirty_tenants(&self) -> Result<Vec<(TenantId, i64)>, StoreError> {
        latest::dirty_tenants(&self.database).await
    }

    async fn clear_dirty(&self, tenant: TenantId, changes: i64) -> Result<(), StoreError> {
        latest::clear_dirty(&self.database, tenant, changes).await
    }

    async fn already_offered(
        &self,
        tenant: TenantId,
        firmware: FirmwareId,
        devices: &[DeviceKey],
    ) -> Result<HashSet<DeviceKey>, StoreError> {
        latest::already_offered(&self.database, tenant, firmware, devices).await
    }
}
