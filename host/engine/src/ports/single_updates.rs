use async_trait::async_trait;
use tidegate_core::{
    id::{ApprovalId, CampaignId, DeviceKey, TenantId, UpdateId},
    time::Timestamp,
    wave::Counts,
};

use crate::Ctx;

use super::{AffectedDevice, Offer, StoreError, UpdateApproval, UpdateAuthorship};

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
        by: Option<&OfferActor>,
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
    /// Nothing is cancelled if the firmware is not offered. `reason` is for the audit trail. `needs_approval`: the new
    /// update waits for an approval; the others are cancelled nevertheless.
    async fn roll_back_device(
        &self,
        ctx: &Ctx,
        device: DeviceKey,
        offer: &Offer,
        overrides: OfferOverrides,
        reason: &str,
        needs_approval: bool,
    ) -> Result<(OfferResult, CancelledUpdates), StoreError>;

    /// The approval of this id, with the numbers of its updates.
    async fn approval(
        &self,
        tenant: TenantId,
        id: ApprovalId,
    ) -> Result<Option<ApprovalSummary>, StoreError>;

    /// All updates of a request have joined their approval: it can be decided on.
    async fn complete_approval(&self, tenant: TenantId, id: ApprovalId) -> Result<(), StoreError>;

    /// Records the decision of the actor on an approval. [`Self::apply_approval`] applies it to the updates. False: there
    /// is a decision already or more updates may join the approval, and nothing was changed.
    async fn decide_approval(
        &self,
        ctx: &Ctx,
        id: ApprovalId,
        is_approved: bool,
        comment: &str,
    ) -> Result<bool, StoreError>;

    /// Applies the decision to up to `limit` updates that wait for this approval: they are offered, or end. Returns their
    /// devices. Fewer than `limit`: none is left. Does nothing while there is no decision.
    async fn apply_approval(
        &self,
        tenant: TenantId,
        id: ApprovalId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<AffectedDevice>, StoreError>;

    /// Up to `limit` decided approvals of all tenants that are not applied to all of their updates yet.
    async fn unapplied_approvals(
        &self,
        limit: u32,
    ) -> Result<Vec<(TenantId, ApprovalId)>, StoreError>;

    /// Number of updates of a device by status, with and without a campaign. Reads one index row for each update of the
    /// device.
    async fn totals(&self, tenant: TenantId, device: DeviceKey) -> Result<Counts, StoreError>;
}

/// The actor who offers updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferActor {
    /// The request.
    pub ctx: Ctx,
    /// What the actor does.
    pub action: OfferAction,
    /// Who requested the updates.
    pub authorship: UpdateAuthorship,
    /// The approval that the updates need; `None`: none.
    pub approval: Option<RequestedApproval>,
    /// Until when more updates may join the approval; `None`: these are the last ones.
    pub incomplete_until: Option<Timestamp>,
}

/// The approval that new updates need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestedApproval {
    /// A new one.
    New,
    /// The one of earlier updates of the same request.
    Existing(ApprovalId),
    /// The one of the update that they retry, which is approved: they are offered at once.
    Given(ApprovalId),
}

impl RequestedApproval {
    /// Whether the updates wait for a decision.
    pub fn waits(self) -> bool {
        !matches!(self, Self::Given(_))
    }
}

/// An approval with the numbers of its updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalSummary {
    /// The approval.
    pub approval: UpdateApproval,
    /// The number of its updates.
    pub updates: u64,
    /// How many of them wait for the decision.
    pub waiting: u64,
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
    /// Not created: there is a decision on the approval that it should have joined.
    ApprovalDecided,
}

impl OfferResult {
    /// The created update.
    pub fn created(&self) -> Option<UpdateId> {
        match self {
            Self::Created(id, _) => Some(*id),
            _ => None,
        }
    }
}
