use async_trait::async_trait;
use tidegate_core::{
    id::{DeviceKey, TenantId, UpdateId},
    wave::Counts,
};

use super::{Offer, StoreError, Touched};

/// Updates without a campaign: an operator's, or those that a device's mode asks for.
#[async_trait]
pub trait SingleUpdates: Send + Sync {
    /// Offers a firmware to each of these devices, in one transaction; answers each, in their order. `force`: also to
    /// one that is pinned, or whose last completed update brought this firmware. A firmware that was deleted is a conflict.
    async fn create_updates(
        &self,
        tenant: TenantId,
        devices: &[DeviceKey],
        offer: &Offer,
        force: bool,
    ) -> Result<Vec<Made>, StoreError>;

    /// Offers a firmware to one device that has not got it.
    async fn create_update(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        offer: &Offer,
    ) -> Result<Made, StoreError> {
        let made = self.create_updates(tenant, &[device], offer, false).await?;
        Ok(made.into_iter().next().unwrap_or(Made::NoDevice))
    }

    /// How many updates of a device, of campaigns or not, stand where. This counts its rows, by index: they are as many
    /// as the updates that it has had.
    async fn totals(&self, tenant: TenantId, device: DeviceKey) -> Result<Counts, StoreError>;
}

/// What came of offering a firmware to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// This update. What is remembered of the device is out of date.
    Update(UpdateId, Touched),
    /// Nothing: this update brings it the same firmware, and is open.
    AlreadyOpen(UpdateId),
    /// Nothing: its last completed update brought it this firmware.
    AlreadyInstalled,
    /// Nothing: it is pinned.
    Pinned,
    /// Nothing: there is no such device.
    NoDevice,
}
