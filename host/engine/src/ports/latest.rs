use std::collections::HashSet;

use async_trait::async_trait;
use tidegate_core::id::{DeviceKey, FirmwareId, TenantId};

use super::StoreError;

/// Supports devices in mode `latest`. Any event that may leave such a device behind marks its tenant dirty: a firmware
/// is created or deleted, a device is changed, reports, or ends an update.
#[async_trait]
pub trait LatestDevices: Send + Sync {
    /// Tenants marked dirty since they were last processed, each with the revision of its last mark.
    async fn dirty_tenants(&self) -> Result<Vec<(TenantId, i64)>, StoreError>;

    /// Clears the mark of a tenant that was processed as of this revision. Later marks stay.
    async fn clear_dirty(&self, tenant: TenantId, revision: i64) -> Result<(), StoreError>;

    /// Those of the devices that have had an update with this firmware, with any result but that the device was not
    /// compatible any more.
    async fn already_offered(
        &self,
        tenant: TenantId,
        firmware: FirmwareId,
        devices: &[DeviceKey],
    ) -> Result<HashSet<DeviceKey>, StoreError>;
}
