use async_trait::async_trait;
use tidegate_core::{
    campaign::{Campaign, CampaignStatus, Hold, Rollback},
    id::{CampaignId, DeviceKey, FirmwareId, TenantId},
    plugin::{Durations, OperatorAct, RollbackScope},
    time::Timestamp,
    update::{SuccessCriteria, UpdateOptions},
};

use super::{NewJournalEntry, StoreError, Wave};

/// Campaigns, as the loops keep them going. What these methods do costs the same however many devices there are.
#[async_trait]
pub trait Runs: Send + Sync {
    /// Campaigns whose wake-up has come, or whose lease ran out without being given back, whatever their status, the
    /// longest overdue first.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<RunRef>, StoreError>;

    /// Asks for a campaign to be looked at no later than `at`.
    async fn wake(&self, run: RunRef, at: Timestamp) -> Result<(), StoreError>;

    /// Takes the campaign for this host until then. None: another host has it. Every lease has a higher fence.
    async fn lease(
        &self,
        run: RunRef,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Fence>, StoreError>;

    /// Gives a lease back; a lease that was lost is fine.
    async fn release(&self, run: RunRef, fence: Fence) -> Result<(), StoreError>;

    /// Everything that a tick looks at.
    async fn run(&self, run: RunRef) -> Result<Option<Run>, StoreError>;

    /// Applies what a tick decided, with its journal, in one transaction, if the campaign is still at this generation
    /// and under this fence. The generation moves on. False: it was not, and nothing was done.
    async fn apply(
        &self,
        run: RunRef,
        fence: Fence,
        applied: TickOutcome,
    ) -> Result<bool, StoreError>;

    /// Makes updates for released devices that have none yet: the next `limit` of this wave. A device that already has
    /// the firmware, and has not drifted from it, gets an update that is completed at once. One that
    /// [`tidegate_core::mode::skip_reason`] names, or that a newer campaign on the same feed has, is passed over and
    /// counts as cancelled. Under a lost fence it does nothing.
    async fn offer_updates(
        &self,
        run: RunRef,
        fence: Fence,
        wave: u32,
        limit: u32,
        offer: &Offer,
    ) -> Result<OfferedBatch, StoreError>;

    /// Looks again at up to `limit` devices that were passed over and whose reason may be gone; makes updates for those
    /// whose reason is. Under a lost fence, and for a campaign that is not in progress, it does nothing.
    async fn offer_skipped_updates(
        &self,
        run: RunRef,
        fence: Fence,
        limit: u32,
        offer: &Offer,
    ) -> Result<Vec<AffectedDevice>, StoreError>;

    /// Calls back up to `limit` open updates of the campaign. Under a lost fence it does nothing.
    async fn cancel_updates(
        &self,
        run: RunRef,
        fence: Fence,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<AffectedDevice>, StoreError>;

    /// Looks at up to `limit` ended updates of the campaign that were not looked at yet, and makes an update back
    /// wherever [`tidegate_core::rollback::after`] says so; pinned devices are passed over. Under a lost fence it does nothing.
    async fn create_rollback_updates(
        &self,
        run: RunRef,
        fence: Fence,
        scope: RollbackScope,
        limit: u32,
        offer: &Offer,
    ) -> Result<RollbackBatch, StoreError>;

    /// Ends up to `limit` open updates whose time is up; tries that waited for theirs are dealt with as
    /// [`tidegate_core::update::retry_action`] says.
    async fn expire_updates(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<AffectedDevice>, StoreError>;
}

/// A campaign by its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the ids say it")]
pub struct RunRef {
    pub tenant: TenantId,
    pub campaign: CampaignId,
}

/// Rises with every lease of a campaign, so that a host that lost its lease can do nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence(pub i64);

/// Everything that a tick looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The campaign.
    pub campaign: Campaign,
    /// In the plan's order.
    pub waves: Vec<Wave>,
    /// Whether waves may open in any order.
    pub parallel: bool,
    /// The last 64, oldest first.
    pub acts: Vec<OperatorAct>,
    /// Of all waves, from offer to end.
    pub durations: Durations,
    /// The strategy's own state.
    pub strategy_state: Vec<u8>,
    /// The policies' own states, in the order of the spec.
    pub policy_states: Vec<Vec<u8>>,
    /// How its plugins have failed since one last answered.
    pub plugin_failures: PluginFailureState,
    /// How a rollback goes.
    pub rollback_progress: RollbackProgress,
}

/// How a campaign's plugins fail, in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PluginFailureState {
    /// Failures that will repeat themselves.
    pub failures: u32,
    /// Failures of which load may be the cause.
    pub timeouts: u32,
    /// No plugin is asked before.
    pub retry_at: Option<Timestamp>,
}

/// How far a campaign is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RollbackProgress {
    /// Open updates of its waves.
    pub open_updates: u64,
    /// Ended updates of its waves that a rollback has not looked at.
    pub rollback_pending: u64,
    /// Updates back that are open.
    pub open_rollbacks: u64,
    /// Updates back that completed.
    pub rolled_back: u64,
    /// Updates back that failed or timed out.
    pub rollback_failed: u64,
    /// Devices that should go back and cannot: the server has not what was there before.
    pub rollback_impossible: u64,
    /// Devices that should go back and stay: they are pinned.
    pub pinned: u64,
    /// Devices that another update, an operator's own, was bringing back already.
    pub already_rolling_back: u64,
}

/// What a tick decided. What is none stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TickOutcome {
    /// What it was decided on.
    pub generation: i64,
    /// When.
    pub at: Timestamp,
    /// The new level of every wave; never lower than before.
    pub levels: Option<Vec<u64>>,
    /// Where the campaign goes.
    pub status: Option<CampaignStatus>,
    /// Why the host stops it.
    pub hold: Option<Hold>,
    /// What is to go back.
    pub rollback: Option<Rollback>,
    /// When to look again; none: not by itself, only when something happens to it.
    pub wake_at: Option<Timestamp>,
    /// What the decision said, kept on the campaign.
    pub explain: Option<Vec<String>>,
    /// When it came to its end.
    pub ended_at: Option<Timestamp>,
    /// The strategy's new state.
    pub strategy_state: Option<Vec<u8>>,
    /// The policies' new states, in the order of the spec.
    pub policy_states: Option<Vec<Vec<u8>>>,
    /// How its plugins have failed since one last answered.
    pub plugin_failures: PluginFailureState,
    /// What was asked and answered.
    pub journal: Vec<NewJournalEntry>,
}

impl TickOutcome {
    /// A change that changes nothing: its plugins have failed as they had.
    pub fn unchanged(generation: i64, at: Timestamp, plugin_failures: PluginFailureState) -> Self {
        Self {
            generation,
            at,
            levels: None,
            status: None,
            hold: None,
            rollback: None,
            wake_at: None,
            explain: None,
            ended_at: None,
            strategy_state: None,
            policy_states: None,
            plugin_failures,
            journal: Vec::new(),
        }
    }
}

/// What is offered to the devices that are admitted or sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What; a return uses what each device had before instead.
    pub firmware: FirmwareId,
    /// Its version.
    pub to_version: String,
    /// How much it goes before other updates.
    pub weight: i32,
    /// What counts as success.
    pub success_criteria: SuccessCriteria,
    /// How it is put to the devices.
    pub options: UpdateOptions,
    /// When.
    pub now: Timestamp,
}

/// What came of admitting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfferedBatch {
    /// For whom updates were made.
    pub affected: Vec<AffectedDevice>,
    /// How many released devices still have none.
    pub remaining: u64,
}

/// What came of sending back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RollbackBatch {
    /// How many ended updates were looked at.
    pub processed: u64,
    /// For whom updates back were made.
    pub affected: Vec<AffectedDevice>,
}

/// A device whose updates changed: what is remembered of it is out of date.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the ids say it")]
pub struct AffectedDevice {
    pub tenant: TenantId,
    pub device: DeviceKey,
    pub device_id: String,
    pub campaign: Option<CampaignId>,
}
