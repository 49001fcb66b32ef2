use async_trait::async_trait;
use tidegate_core::{
    campaign::{Approval, Campaign, CampaignSpec, CampaignStatus, Hold, Priority, Rollback},
    id::{CampaignId, DeviceKey, TenantId},
    plugin::{ClassKey, OperatorAct, PluginName},
    time::Timestamp,
    update::IntermediateFirmware,
    wave::{Counts, WaveReport},
};

use crate::Ctx;

use super::{NewJournalEntry, Page, PageRequest, StoreError};

/// Creates, reads and changes campaigns on behalf of operators.
#[async_trait]
pub trait Campaigns: Send + Sync {
    /// Stores a campaign with status `created` and generation 0. A deleted firmware is a conflict.
    async fn create_campaign(
        &self,
        ctx: &Ctx,
        campaign: NewCampaign,
    ) -> Result<CampaignId, StoreError>;

    /// The campaign of this id.
    async fn campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> Result<Option<Campaign>, StoreError>;

    /// The campaign of this id with its waves, from one snapshot.
    async fn campaign_detail(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> Result<Option<CampaignDetail>, StoreError>;

    /// A page of the campaigns, newest first.
    async fn list_campaigns(
        &self,
        tenant: TenantId,
        filter: &CampaignFilter,
        page: PageRequest,
    ) -> Result<Page<CampaignSummary>, StoreError>;

    /// A page of the campaigns that have started: first those that have an open update for the device, newest first.
    async fn started_campaigns(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        page: PageRequest,
    ) -> Result<Page<Campaign>, StoreError>;

    /// Applies a change if the campaign is still at the generation that was read, and increments the generation. False:
    /// it is at another one.
    async fn change_campaign(
        &self,
        ctx: &Ctx,
        campaign: &Campaign,
        change: CampaignChange,
    ) -> Result<bool, StoreError>;

    /// Replaces the specification of a campaign that has not started, if it is still at the generation that was read, and
    /// voids its approval. False: it is at another one. A deleted firmware is a conflict.
    async fn edit_campaign(
        &self,
        ctx: &Ctx,
        campaign: &Campaign,
        spec: CampaignSpec,
    ) -> Result<bool, StoreError>;

    /// The campaigns that can still call plugins and are pinned to a revision of another contract than these.
    async fn campaigns_of_other_contracts(
        &self,
        tenant: TenantId,
        contracts: &[&str],
    ) -> Result<Vec<CampaignId>, StoreError>;

    /// Pins a campaign to other revisions, if it is still at the generation that was read. False: it is at another one.
    async fn repin_campaign(
        &self,
        ctx: &Ctx,
        campaign: &Campaign,
        repin: Repin,
    ) -> Result<bool, StoreError>;

    /// Deletes a campaign that has never started; one that has is a conflict. False: there is none.
    async fn delete_campaign(&self, ctx: &Ctx, id: CampaignId) -> Result<bool, StoreError>;

    /// Starts a campaign if it is still at the generation that was read: stores its waves, their members and the
    /// policies' verdicts in one transaction. False: it is at another one.
    async fn start_campaign(
        &self,
        ctx: &Ctx,
        campaign: &Campaign,
        campaign_start: CampaignStart,
    ) -> Result<bool, StoreError>;

    /// Appends the plugin calls of a start that failed to the journal, and replaces the campaign's explanation, if it is
    /// still at the generation that was read. It stays at it. False: it is at another one.
    async fn record_failed_start(
        &self,
        tenant: TenantId,
        campaign: &Campaign,
        journal: Vec<NewJournalEntry>,
        explain: Vec<String>,
    ) -> Result<bool, StoreError>;

    /// The campaign's waves, in order. Empty before the start.
    async fn waves(&self, tenant: TenantId, id: CampaignId) -> Result<Vec<Wave>, StoreError>;

    /// The device's membership as fixed when the campaign started, or when the device joined it.
    async fn membership(
        &self,
        tenant: TenantId,
        id: CampaignId,
        device: DeviceKey,
    ) -> Result<Membership, StoreError>;
}

/// A campaign and its waves at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignDetail {
    /// The campaign.
    pub campaign: Campaign,
    /// In order; empty before the start.
    pub waves: Vec<Wave>,
}

/// A campaign as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignSummary {
    /// The campaign.
    pub campaign: Campaign,
    /// Counters of all its waves together; `None` before the start.
    pub counts: Option<Counts>,
}

/// A campaign to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCampaign {
    /// Validated by the caller.
    pub spec: CampaignSpec,
    /// Name of the user.
    pub created_by: String,
    /// Creation time.
    pub created_at: Timestamp,
}

/// A change of a campaign. `None` leaves a value unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CampaignChange {
    /// New status. Leaving `held` clears the hold and the [`super::PluginFailureState`].
    pub status: Option<CampaignStatus>,
    /// Why the server holds the campaign.
    pub hold: Option<Hold>,
    /// The approval.
    pub approval: Option<Approval>,
    /// Whether the status changes because the approval was refused.
    pub is_rejection: bool,
    /// Scope and reason of the rollback.
    pub rollback: Option<Rollback>,
    /// When the campaign ended.
    pub ended_at: Option<Timestamp>,
    /// The operator's act, shown to the strategy. `Advanced` is also stored with its wave, as an [`Advance`].
    pub act: Option<OperatorAct>,
    /// New priority.
    pub priority: Option<Priority>,
    /// New limit of devices in flight; `Some(None)`: unlimited.
    pub max_concurrent_updates: Option<Option<u64>>,
    /// When the campaign is due for its next tick.
    pub wake_at: Option<Timestamp>,
    /// What was done, in sentences; stored with the campaign.
    pub explain: Option<Vec<String>>,
    /// Whether the failures so far are accepted in every wave: the failure ceiling counts later failures only.
    pub accepts_failures: bool,
}

impl CampaignChange {
    /// The campaign after this change. The store changes it in the same way, if it is at the same generation.
    #[must_use]
    pub fn apply_to(&self, mut campaign: Campaign) -> Campaign {
        if let Some(status) = self.status {
            campaign.set_status(status);
        }
        campaign.hold = self.hold.clone().or(campaign.hold);
        campaign.approval = self.approval.clone().or(campaign.approval);
        campaign.rollback = self.rollback.clone().or(campaign.rollback);
        campaign.explain = self.explain.clone().unwrap_or(campaign.explain);
        campaign.ended_at = self.ended_at.or(campaign.ended_at);
        let spec = &mut campaign.spec;
        spec.priority = self.priority.unwrap_or(spec.priority);
        spec.max_concurrent_updates = self
            .max_concurrent_updates
            .unwrap_or(spec.max_concurrent_updates);
        campaign.generation += 1;
        campaign
    }
}

/// What a campaign's start stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignStart {
    /// Time of the start.
    pub at: Timestamp,
    /// In the plan's order.
    pub waves: Vec<NewWave>,
    /// Whether waves may be released in any order.
    pub parallel: bool,
    /// Whether devices that match the targets later join the last wave.
    pub is_dynamic: bool,
    /// The compatibility policies' verdict on each class.
    pub classes: Vec<ClassVerdict>,
    /// Every selected device, with the index of its class in `classes`.
    pub selected: Vec<(DeviceKey, u32)>,
    /// The plugin calls made for the start.
    pub journal: Vec<NewJournalEntry>,
}

impl CampaignStart {
    /// The campaign after this start. The store changes it in the same way, if it is at the same generation.
    #[must_use]
    pub fn apply_to(&self, mut campaign: Campaign) -> Campaign {
        campaign.set_status(CampaignStatus::InProgress);
        campaign.started_at = Some(self.at);
        campaign.total_devices = self.selected.len() as u64;
        campaign.is_dynamic = self.is_dynamic;
        campaign.explain = Vec::new();
        campaign.generation += 1;
        campaign
    }
}

/// A wave to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWave {
    /// Display name.
    pub name: String,
    /// In the order in which updates are offered.
    pub members: Vec<DeviceKey>,
}

/// The compatibility policies' verdict on a class of devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassVerdict {
    /// The class.
    pub key: ClassKey,
    /// Number of devices in the class.
    pub devices: u64,
    /// Why the class is excluded, with the policy's name; `None`: it is compatible.
    pub excluded: Option<String>,
    /// Whether no policy was asked: the class is excluded because of the mode of its devices.
    pub is_unchecked: bool,
    /// The firmware that devices of a compatible class get first.
    pub intermediate: Option<IntermediateFirmware>,
}

/// A wave and its counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wave {
    /// The wave as plugins see it.
    pub report: WaveReport,
    /// Number of devices that were offered an update or skipped; follows `report.released`.
    pub admitted: u64,
    /// Number of failures that an operator accepted.
    pub accepted: u64,
    /// The last time an operator advanced the campaign past the gate before this wave.
    pub advance: Option<Advance>,
}

/// An operator advanced the campaign past the gate before a wave. This concerns only the next decision of the strategy:
/// if that does not open the wave, the operator must advance the campaign again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// Name of the operator.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Whether the wave opened; `None` until a decision that takes it into account is applied.
    pub applied: Option<bool>,
    /// The explanation of that decision.
    pub explain: Vec<String>,
}

/// A device's membership in a campaign, fixed when the campaign started or the device joined it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// The campaign has not started.
    NotStarted,
    /// The campaign's targets did not include the device.
    NotSelected,
    /// A policy excluded the device's class.
    Excluded {
        /// The class.
        class: ClassKey,
        /// Why, with the policy's name.
        reason: String,
        /// When, if that was after the start.
        excluded_later_at: Option<Timestamp>,
    },
    /// Selected, but not in any wave of the plan.
    InNoWave,
    /// A member of a wave.
    InWave {
        /// Index of the wave.
        wave: u32,
        /// Number of members of the wave that come before the device.
        position: u64,
        /// When the device joined, if that was after the start.
        joined_later_at: Option<Timestamp>,
        /// The firmware that devices of its class got first when the campaign started.
        intermediate: Option<IntermediateFirmware>,
    },
}

/// Which campaigns to list. All filters that are set must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CampaignFilter {
    /// Only campaigns with this status.
    pub status: Option<CampaignStatus>,
}

/// Other revisions of a campaign's plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repin {
    /// The specification of the campaign with them.
    pub spec: CampaignSpec,
    /// The plugin whose state is emptied. The others keep theirs.
    pub discards_state: Option<PluginName>,
    /// Why.
    pub journal: NewJournalEntry,
}
