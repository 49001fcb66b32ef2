use async_trait::async_trait;
use tidegate_core::{
    id::{CampaignId, DeviceKey, TenantId, UpdateId},
    wave::Counts,
};

use super::{AffectedDevice, Offer, StoreError};

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
    ) -> Result<Vec<OfferResult>, StoreError>;

    /// Offers a firmware to one device that has not got it.
    async fn create_update(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        offer: &Offer,
    ) -> Result<OfferResult, StoreError> {
        let made = self.create_updates(tenant, &[device], offer, false).await?;
        Ok(made
            .into_iter()
            .next()
            .unwrap_or(OfferResult::DeviceNotFound))
    }

    /// Offers a firmware to one device and nothing else: whatever else is open for it is called back in the same
    /// transaction, and what the device says that it installed, and has yet to prove, ends there. Where a firmware is not
    /// offered, nothing is called back.
    async fn roll_back_device(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        offer: &Offer,
        overrides: OfferOverrides,
    ) -> Result<(OfferResult, CancelledUpdates), StoreError>;

    /// How many updates of a device, of campaigns or not, stand where. This counts its rows, by index: they are as many
    /// as the updates that it has had.
    async fn totals(&self, tenant: TenantId, device: DeviceKey) -> Result<Counts, StoreError>;
}

/// What keeps no firmware from a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OfferOverrides {
    /// That it is pinned.
    pub ignore_pin: bool,
    /// That its last completed update brought the firmware.
    pub ignore_installed: bool,
}

/// Updates that were called back, each with its campaign if it has one.
pub type CancelledUpdates = Vec<(UpdateId, Option<CampaignId>)>;

/// What came of offering a firmware to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfferResult {
    /// This update. What is remembered of the device is out of date.
    Created(UpdateId, AffectedDevice),
    /// Nothing: this update brings it the same firmware, and is open.
    AlreadyOpen(UpdateId),
    /// Nothing: its last completed update brought it this firmware.
    AlreadyInstalled,
    /// Nothing: it is pinned.
    Pinned,
    /// Nothing: there is no such device.
    DeviceNotFound,
}
