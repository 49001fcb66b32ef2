use std::collections::HashSet;

use async_trait::async_trait;
use tidegate_core::id::{DeviceKey, FirmwareId, TenantId};

use super::StoreError;

/// What keeps devices in mode `latest` going. Whatever may make one of them be behind stirs its tenant: a firmware that
/// comes or goes, a device that is changed, reports, or comes to the end of an update.
#[async_trait]
pub trait LatestDevices: Send + Sync {
    /// Tenants that were stirred since they were last looked at, each with the number of its last stir.
    async fn dirty_tenants(&self) -> Result<Vec<(TenantId, i64)>, StoreError>;

    /// A tenant was looked at, as it was after this stir.
    async fn clear_dirty(&self, tenant: TenantId, stir: i64) -> Result<(), StoreError>;

    /// Those of the devices that have had an update with this firmware, however it went.
    async fn already_offered(
        &self,
        tenant: TenantId,
        firmware: FirmwareId,
        devices: &[DeviceKey],
    ) -> Result<HashSet<DeviceKey>, StoreError>;
}
