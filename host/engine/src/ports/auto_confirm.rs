use async_trait::async_trait;
use tidegate_core::{
    device::AutoConfirm,
    id::{DeviceKey, TenantId},
};

use super::StoreError;

/// Auto-confirmation: devices whose updates need no confirmation.
#[async_trait]
pub trait AutoConfirmation: Send + Sync {
    /// The device's auto-confirmation; `None`: inactive.
    async fn auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
    ) -> Result<Option<AutoConfirm>, StoreError>;
}
