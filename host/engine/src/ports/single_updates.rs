use async_trait::async_trait;
use tidegate_core::{
    id::{CampaignId, DeviceKey, TenantId, UpdateId},
    wave::Counts,
};

use crate::Ctx;

use super::{AffectedDevice, Offer, StoreError};

/// Updates without a campaign: created by an operator, or because a device is in mode `latest`.
#[async_trait]
pub trait SingleUpdates: Send + Sync {
    /// Offers a firmware to these devices in one transaction. Returns one result per device, in the same order. `force`
    /// includes pinned devices and those whose last completed update brought this firmware. A deleted firmware is a
    /// conflict. `by`: the actor; none: the server.
    async fn create_updates(
        &self,
        tenant: TenantId,
        devices: &[DeviceKey],
        offer: &Offer,
        force: bool,
        by: Option<&OfferedBy>,
    ) -> Result<Vec<OfferResult>, StoreError>;

    /// Offers a firmware to one device, without `force`.
    async fn create_update(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        offer: &Offer,
    ) -> Result<OfferResult, StoreError> {
        let made = self
            .create_updates(tenant, &[device], offer, false, None)
            .await?;
        Ok(made
            .into_iter()
            .next()
            .unwrap_or(OfferResult::DeviceNotFound))
    }

    /// Offers a firmware to one device and cancels all its other open updates in the same transaction. An update that
    /// the device reported as installed and that still has to meet its success criteria is cancelled immediately.
    /// Nothing is cancelled if the firmware is not offered. `reason` is for the audit trail.
    async fn roll_back_device(
        &self,
        ctx: &Ctx,
        device: DeviceKey,
        offer: &Offer,
        overrides: OfferOverrides,
        reason: &str,
    ) -> Result<(OfferResult, CancelledUpdates), StoreError>;

    /// Number of updates of a device by status, with and without a campaign. Reads one index row for each update of the
    /// device.
    async fn totals(&self, tenant: TenantId, device: DeviceKey) -> Result<Counts, StoreError>;
}

/// The actor who offers updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedBy {
    /// The request.
    pub ctx: Ctx,
    /// What the actor does.
    pub action: OfferAction,
}

/// What an actor does who offers updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferAction {
    /// Updates one device.
    Create,
    /// Updates many devices.
    CreateMany,
    /// Retries an update.
    Retry,
}

/// Which obstacles an offer ignores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OfferOverrides {
    /// Ignores that the device is pinned.
    pub ignore_pin: bool,
    /// Ignores that the device's last completed update brought the firmware.
    pub ignore_installed: bool,
}

/// Cancelled updates, each with its campaign if it has one.
pub type CancelledUpdates = Vec<(UpdateId, Option<CampaignId>)>;

/// Result of offering a firmware to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfferResult {
    /// The update was created. Cached data about the device is stale.
    Created(UpdateId, AffectedDevice),
    /// Not offered: this open update brings the same firmware.
    AlreadyOpen(UpdateId),
    /// Not offered: the device's last completed update brought this firmware.
    AlreadyInstalled,
    /// Not offered: the device is pinned.
    Pinned,
    /// Not offered: the device does not exist.
    DeviceNotFound,
}
