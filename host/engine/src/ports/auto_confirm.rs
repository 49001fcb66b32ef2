use async_trait::async_trait;
use tidegate_core::{
    device::AutoConfirm,
    id::{DeviceKey, TenantId},
    time::Timestamp,
};

use super::{RecordError, RecordedFeedback, StoreError};

/// Devices that agree to all of their updates beforehand.
#[async_trait]
pub trait AutoConfirmation: Send + Sync {
    /// Who agreed beforehand, if anybody did.
    async fn auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
    ) -> Result<Option<AutoConfirm>, StoreError>;

    /// Agrees to all updates of a device: those that wait, and those that are made later.
    async fn activate_auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        auto_confirm: AutoConfirm,
    ) -> Result<RecordedFeedback, RecordError>;

    /// Agrees to no later ones; where nobody does, it does nothing.
    async fn deactivate_auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        now: Timestamp,
    ) -> Result<(), RecordError>;
}
