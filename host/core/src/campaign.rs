//! Campaigns: one firmware for a set of devices, rolled out by one strategy under a list of policies.

mod retry_action;

pub use retry_action::{RetryAction, retry_action};

use std::iter;

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::{
    Named as _,
    id::{CampaignId, Digest, FirmwareId, TenantId},
    plugin::{Gate, PluginKind, PluginName, RollbackScope},
    selector::SelectorText,
    time::Timestamp,
    update::{SuccessCriteria, UpdateOptions},
};

/// Maximum waves of a campaign.
pub const MAX_WAVES: usize = 500;
/// Name of the actor that holds or rolls back a campaign when too many devices of a wave fail.
pub const FAILURE_CEILING: &str = "the failure ceiling";
/// Name of the actor that holds a campaign whose journal has the maximum size.
pub const JOURNAL_BOUND: &str = "the bound of the journal";
/// Maximum policies of a campaign.
pub const MAX_POLICIES: usize = 16;

/// A campaign and its current state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// Row id.
    pub id: CampaignId,
    /// Owner.
    pub tenant: TenantId,
    /// As requested at creation.
    pub spec: CampaignSpec,
    /// Name of its firmware.
    pub firmware_name: String,
    /// Version of its firmware.
    pub firmware_version: String,
    /// Current status.
    pub status: CampaignStatus,
    /// Why the server holds the campaign.
    pub hold: Option<Hold>,
    /// The gate at which the campaign waits for an operator.
    pub awaiting: Option<AwaitedGate>,
    /// The approval, once given.
    pub approval: Option<Approval>,
    /// Number of devices selected at the start, and of those after it if the plan is dynamic; 0 before.
    pub total_devices: u64,
    /// Whether the strategy's plan is dynamic: devices that match the targets later join the last wave. False before the
    /// start.
    pub is_dynamic: bool,
    /// Number of devices that joined the last wave after the start.
    pub joined_devices: u64,
    /// Number of devices that acknowledged a cancellation, but may have installed the firmware: the next report of their
    /// version is awaited.
    pub awaiting_version: u64,
    /// Its rollback updates; all 0 before a rollback.
    pub rollback_counts: RollbackCounts,
    /// Whether an event waits for the campaign's next decision, or that decision is being made: `explain` is older than
    /// the counters.
    pub decision_due: bool,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Actor that created it.
    pub created_by: String,
    /// Actor that last edited its specification; only before the start.
    pub edited_by: Option<String>,
    /// All actors that edited it, in the order of their first edits; at most [`MAX_EDITORS`].
    pub editors: Vec<String>,
    /// Time of the start.
    pub started_at: Option<Timestamp>,
    /// Time at which it reached a final status.
    pub ended_at: Option<Timestamp>,
    /// The latest time of a call of its plugins: no later call is shown an earlier one.
    pub last_call_at: Option<Timestamp>,
    /// Scope and reason of the rollback, once one was requested.
    pub rollback: Option<Rollback>,
    /// Explanation of the last applied decision: sentences for operators.
    pub explain: Vec<String>,
    /// The size of its journal in bytes.
    pub journal_bytes: u64,
    /// Incremented by every applied change; a decision is applied only to the generation that it was made on.
    pub generation: i64,
}

/// Maximum number of actors that edit a campaign.
pub const MAX_EDITORS: usize = 100;

impl Campaign {
    /// The actors that decided what it does: none of them can approve it.
    pub fn authors(&self) -> impl Iterator<Item = &str> {
        let editors = self.editors.iter();
        editors.chain([&self.created_by]).map(String::as_str)
    }

    /// The editors after an edit by this actor.
    pub fn editors_with(&self, actor: &str) -> Vec<String> {
        let mut editors = self.editors.clone();
        if !editors.iter().any(|editor| editor == actor) {
            editors.push(actor.to_owned());
        }
        editors
    }

    /// Changes the status. Leaving `held` clears the hold, leaving a final status clears the end.
    pub fn set_status(&mut self, status: CampaignStatus) {
        if self.status.ends_hold(status) {
            self.hold = None;
        }
        if status.ends_rollout() {
            self.awaiting = None;
        }
        if !status.is_final() {
            self.ended_at = None;
        }
        self.status = status;
    }

    /// The gate at which it waits.
    pub fn awaited_gate(&self) -> Option<&Gate> {
        self.awaiting.as_ref().map(|awaiting| &awaiting.gate)
    }
}

impl CampaignSpec {
    /// The strategy and the policies.
    pub fn plugins(&self) -> impl Iterator<Item = &PluginUse> {
        iter::once(&self.strategy).chain(&self.policies)
    }

    /// The same, to be changed.
    pub fn plugins_mut(&mut self) -> impl Iterator<Item = &mut PluginUse> {
        iter::once(&mut self.strategy).chain(&mut self.policies)
    }
}

/// A gate at which a campaign waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedGate {
    /// The gate, as the strategy named it.
    pub gate: Gate,
    /// Since when.
    pub since: Timestamp,
}

/// A campaign as requested at creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignSpec {
    /// 1 to 200 characters.
    pub name: String,
    /// Free text for operators.
    pub description: String,
    /// Firmware to install.
    pub firmware: FirmwareId,
    /// Devices to update.
    pub targets: Targets,
    /// Allows beta firmware.
    pub allow_beta: bool,
    /// Plugin that plans the waves and decides when devices are released.
    pub strategy: PluginUse,
    /// Compatibility and health policies.
    pub policies: Vec<PluginUse>,
    /// Determines the weight of its updates.
    pub priority: Priority,
    /// Maximum devices in flight.
    pub max_concurrent_updates: Option<u64>,
    /// Options of its updates. The update timeout is 5 to 1440 minutes.
    pub options: UpdateOptions,
    /// Requires the approval of an actor other than its authors before the start.
    pub requires_approval: bool,
    /// Rolls back without an operator when a plugin asks for it.
    pub auto_rollback: bool,
    /// Share of a wave, 1 to 100 percent, whose failure stops the campaign regardless of plugins.
    pub failure_threshold_percent: u8,
    /// When an update counts as successful.
    pub success_criteria: SuccessCriteria,
}

/// Target devices of a campaign: the union of all fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// Device ids.
    pub devices: Vec<String>,
    /// Group names.
    pub groups: Vec<String>,
    /// RSQL filter.
    pub filter: Option<SelectorText>,
    /// All devices on this feed; excludes the other fields. The newest campaign on a feed wins.
    pub feed: Option<String>,
}

/// A plugin with the revision and config that a campaign uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginUse {
    /// Name of the plugin.
    pub plugin: PluginName,
    /// Revision that the campaign is pinned to.
    pub revision: Digest,
    /// Version that the revision reports.
    pub version: String,
    /// Kind of plugin.
    pub kind: PluginKind,
    /// Config: a JSON object.
    pub config: String,
}

/// A stop by the server: a plugin failed, or a policy or the failure ceiling demanded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Reason for operators.
    pub reason: String,
    /// Name of the plugin or of the server's own rule.
    pub by: String,
    /// Time of the stop.
    pub since: Timestamp,
}

/// Approval of a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Approving actor.
    pub by: String,
    /// Comment of the approving actor.
    pub comment: String,
    /// Time of the approval.
    pub at: Timestamp,
}

/// A requested rollback of a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// Which devices it includes.
    pub scope: RollbackScope,
    /// Reason for operators.
    pub reason: String,
    /// An operator, a plugin or the server.
    pub by: String,
    /// When it was requested; `None`: by a version that did not record it.
    pub since: Option<Timestamp>,
}

/// Number of rollback updates of a campaign by their result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RollbackCounts {
    /// Not ended.
    pub open: u64,
    /// Completed: the device is back on its previous firmware.
    pub completed: u64,
    /// Ended otherwise.
    pub failed: u64,
}

impl RollbackCounts {
    /// All rollback updates.
    pub fn total(&self) -> u64 {
        self.open + self.completed + self.failed
    }
}

/// Priority of a campaign.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    IntoStaticStr,
    EnumString,
    VariantArray,
    VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "self-explanatory names")]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
    Critical,
    Emergency,
}

impl Priority {
    /// Weight of the campaign's updates, on hawkBit's scale of 0 to 1000.
    pub fn weight(self) -> i32 {
        match self {
            Self::Low => 250,
            Self::Normal => 500,
            Self::High => 700,
            Self::Critical => 850,
            Self::Emergency => 950,
        }
    }
}

/// Weight of rollback updates: devices are offered them before all others.
pub const ROLLBACK_WEIGHT: i32 = 1000;

/// Status of a campaign.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum CampaignStatus {
    /// Created, not started.
    Created,
    /// Releases devices.
    InProgress,
    /// Stopped by an operator, can be resumed.
    Paused,
    /// Stopped by the server, can be resumed.
    Held,
    /// Cancels open updates and creates rollback updates.
    RollingBack,
    /// The rollback has finished.
    RolledBack,
    /// All devices have ended.
    Completed,
    /// Ended by a strategy that gave up.
    Failed,
    /// Ended by an operator.
    Cancelled,
}

impl CampaignStatus {
    /// The statuses in which devices can join the last wave of a dynamic plan.
    pub const JOINABLE: [Self; 3] = [Self::InProgress, Self::Paused, Self::Held];

    /// Whether a change to `next` ends a hold.
    pub fn ends_hold(self, next: Self) -> bool {
        self == Self::Held && next != Self::Held
    }

    /// True if the strategy is not asked any more.
    pub fn ends_rollout(self) -> bool {
        self == Self::RollingBack || self.is_final()
    }

    /// True if the campaign has ended; only a rollback can continue it.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::RolledBack | Self::Completed | Self::Failed | Self::Cancelled
        )
    }

    /// True if the campaign loop processes it.
    pub fn is_running(self) -> bool {
        matches!(self, Self::InProgress | Self::RollingBack)
    }

    /// The status after a transition.
    pub fn after(self, transition: Transition) -> Result<Self, InvalidTransition> {
        use CampaignStatus as S;
        match (transition, self) {
            (Transition::Start, S::Created) | (Transition::Resume, S::Paused | S::Held) => {
                Ok(S::InProgress)
            }
            (Transition::Pause, S::InProgress) => Ok(S::Paused),
            (Transition::Hold, S::InProgress | S::Held) => Ok(S::Held),
            (Transition::Cancel, S::Created | S::InProgress | S::Paused | S::Held) => {
                Ok(S::Cancelled)
            }
            (
                Transition::RollBack,
                S::InProgress | S::Paused | S::Held | S::Completed | S::Failed | S::Cancelled,
            )
            | (Transition::ContinueRollback, S::RolledBack) => Ok(S::RollingBack),
            (Transition::Complete, S::InProgress) => Ok(S::Completed),
            (Transition::Fail, S::InProgress) => Ok(S::Failed),
            (Transition::FinishRollback, S::RollingBack) => Ok(S::RolledBack),
            (transition, from) => Err(InvalidTransition { transition, from }),
        }
    }
}

/// A transition of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the transitions")]
pub enum Transition {
    Start,
    Pause,
    Resume,
    Cancel,
    Hold,
    RollBack,
    FinishRollback,
    ContinueRollback,
    Complete,
    Fail,
}

impl Transition {
    fn verb(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Hold => "hold",
            Self::RollBack => "roll back",
            Self::FinishRollback => "finish the rollback of",
            Self::ContinueRollback => "continue the rollback of",
            Self::Complete => "complete",
            Self::Fail => "fail",
        }
    }
}

/// A transition that the current status does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot {} a campaign that is {}", .transition.verb(), .from.as_str())]
pub struct InvalidTransition {
    /// The requested transition.
    pub transition: Transition,
    /// Current status.
    pub from: CampaignStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_states_only_allow_rollback() {
        let transitions = [
            Transition::Start,
            Transition::Pause,
            Transition::Resume,
            Transition::Cancel,
            Transition::Hold,
            Transition::FinishRollback,
            Transition::Complete,
            Transition::Fail,
        ];
        let statuses = <CampaignStatus as VariantArray>::VARIANTS.iter().copied();
        for from in statuses.filter(|status| status.is_final()) {
            for transition in transitions {
                assert_eq!(
                    from.after(transition),
                    Err(InvalidTransition { transition, from })
                );
            }
        }
        assert_eq!(
            CampaignStatus::Completed.after(Transition::RollBack),
            Ok(CampaignStatus::RollingBack)
        );
        assert!(
            CampaignStatus::RolledBack
                .after(Transition::RollBack)
                .is_err()
        );
        for from in <CampaignStatus as VariantArray>::VARIANTS {
            let continued = from.after(Transition::ContinueRollback).ok();
            let expected =
                (*from == CampaignStatus::RolledBack).then_some(CampaignStatus::RollingBack);
            assert_eq!(continued, expected, "{from:?}");
        }
    }

    #[test]
    fn invalid_transitions_have_a_clear_message() {
        let error = CampaignStatus::InProgress
            .after(Transition::Start)
            .expect_err("already started");
        assert_eq!(
            error.to_string(),
            "cannot start a campaign that is in_progress"
        );
    }
}
