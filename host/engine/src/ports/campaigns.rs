use async_trait::async_trait;
use tidegate_core::{
    campaign::{Approval, Campaign, CampaignSpec, CampaignStatus, Hold, Priority, Rollback},
    id::{CampaignId, DeviceKey, TenantId},
    plugin::{ClassKey, OperatorAct},
    time::Timestamp,
    wave::WaveReport,
};

use super::{NewJournalEntry, Page, PageRequest, StoreError};

/// Campaigns, as operators make and change them.
#[async_trait]
pub trait Campaigns: Send + Sync {
    /// Stores a campaign as `created`, generation 0. A firmware that was deleted is a conflict.
    async fn create_campaign(
        &self,
        tenant: TenantId,
        campaign: NewCampaign,
    ) -> Result<CampaignId, StoreError>;

    /// The campaign of this id.
    async fn campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> Result<Option<Campaign>, StoreError>;

    /// A part of the campaigns, newest first.
    async fn list_campaigns(
        &self,
        tenant: TenantId,
        filter: &CampaignFilter,
        page: PageRequest,
    ) -> Result<Page<Campaign>, StoreError>;

    /// Applies a change if the campaign is still at this generation, which it moves on. False: it is not.
    async fn change_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
        generation: i64,
        change: CampaignChange,
    ) -> Result<bool, StoreError>;

    /// Starts a campaign if it is still at this generation: its waves, their members and what the policies said, in
    /// one transaction. False: it is not.
    async fn start_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
        generation: i64,
        campaign_start: CampaignStart,
    ) -> Result<bool, StoreError>;

    /// The campaign's waves, in order; empty before it starts.
    async fn waves(&self, tenant: TenantId, id: CampaignId) -> Result<Vec<Wave>, StoreError>;

    /// What a campaign decided for one device at its start.
    async fn membership(
        &self,
        tenant: TenantId,
        id: CampaignId,
        device: DeviceKey,
    ) -> Result<Membership, StoreError>;
}

/// A campaign to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCampaign {
    /// Checked by the caller.
    pub spec: CampaignSpec,
    /// By whom.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// A change of a campaign: what is none stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CampaignChange {
    /// Where it goes. Leaving `held` clears the hold and the plugins' [`super::PluginFailureState`].
    pub status: Option<CampaignStatus>,
    /// Why the host stopped it.
    pub hold: Option<Hold>,
    /// Who approved it.
    pub approval: Option<Approval>,
    /// What is to go back.
    pub rollback: Option<Rollback>,
    /// When it came to its end.
    pub ended_at: Option<Timestamp>,
    /// What the strategy is to see of it. `Advanced` is also noted on its wave.
    pub act: Option<OperatorAct>,
    /// How urgent it is from now on.
    pub priority: Option<Priority>,
    /// Most devices in flight from now on.
    pub max_concurrent_updates: Option<u64>,
    /// When its loop is to look at it.
    pub wake_at: Option<Timestamp>,
    /// What was done, for people; kept on the campaign.
    pub explain: Option<Vec<String>>,
    /// Whether the failures so far of every wave are accepted: the ceiling counts from here.
    pub accepts_failures: bool,
}

/// How a campaign begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignStart {
    /// When.
    pub at: Timestamp,
    /// In the plan's order.
    pub waves: Vec<NewWave>,
    /// Whether waves may open in any order.
    pub parallel: bool,
    /// What the compatibility policies said of each class.
    pub classes: Vec<ClassVerdict>,
    /// Every selected device, with the index of its class.
    pub selected: Vec<(DeviceKey, u32)>,
    /// What was asked and answered on the way.
    pub journal: Vec<NewJournalEntry>,
}

/// A wave to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWave {
    /// For people.
    pub name: String,
    /// In the order in which they are admitted.
    pub members: Vec<DeviceKey>,
}

/// What the compatibility policies said of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassVerdict {
    /// Which class.
    pub key: ClassKey,
    /// How many devices.
    pub devices: u64,
    /// Why it is left out, with the policy's name; none: it may be updated.
    pub excluded: Option<String>,
}

/// A wave as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wave {
    /// As plugins see it.
    pub report: WaveReport,
    /// For how many of its devices an update was made; follows `report.released`.
    pub admitted: u64,
    /// How many of its failures an operator has accepted.
    pub accepted: u64,
}

/// What a campaign decided for one device at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// The campaign has not started.
    NotStarted,
    /// It was not among the devices that the campaign meant.
    NotSelected,
    /// A policy left its class out.
    Excluded {
        /// The class.
        class: ClassKey,
        /// Why, with the policy's name.
        reason: String,
    },
    /// Selected, and no wave of the plan took it.
    InNoWave,
    /// In a wave.
    InWave {
        /// Which.
        wave: u32,
        /// How many of the wave come before it.
        position: u64,
    },
}

/// Which campaigns to list; every filter that is set must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CampaignFilter {
    /// Those that stand here.
    pub status: Option<CampaignStatus>,
}
