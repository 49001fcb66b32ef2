use async_trait::async_trait;
use tidegate_core::{
    device::AutoConfirm,
    id::{DeviceKey, TenantId},
    time::Timestamp,
};

use crate::Ctx;

use super::{RecordError, RecordedFeedback, StoreError};

/// Auto-confirmation: devices whose updates need no confirmation.
#[async_trait]
pub trait AutoConfirmation: Send + Sync {
    /// The device's auto-confirmation; `None`: inactive.
    async fn auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
    ) -> Result<Option<AutoConfirm>, StoreError>;

    /// Activates auto-confirmation: confirms the updates that wait for a confirmation, and all later ones. `by`: the
    /// actor; none: the device itself.
    async fn activate_auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        auto_confirm: AutoConfirm,
        by: Option<&Ctx>,
    ) -> Result<RecordedFeedback, RecordError>;

    /// Deactivates auto-confirmation for later updates. Does nothing when it is inactive.
    async fn deactivate_auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        now: Timestamp,
        by: Option<&Ctx>,
    ) -> Result<(), RecordError>;
}
