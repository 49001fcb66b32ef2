//! Campaigns: one firmware to one set of devices under one strategy and its policies.

use crate::{
    id::{CampaignId, Digest, FirmwareId, TenantId},
    plugin::RollbackScope,
    time::Timestamp,
    update::{SuccessCriteria, UpdateOptions},
};

/// Most waves of a campaign.
pub const MAX_WAVES: usize = 500;
/// Who holds a campaign, or sends it back, when too many of a wave's devices failed.
pub const FAILURE_CEILING: &str = "the failure ceiling";
/// Most policies of a campaign.
pub const MAX_POLICIES: usize = 16;

/// A campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// Its row.
    pub id: CampaignId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What was asked for.
    pub spec: CampaignSpec,
    /// Where it stands.
    pub status: CampaignStatus,
    /// Why the host stopped it.
    pub hold: Option<Hold>,
    /// Whether somebody approved it.
    pub approval: Option<Approval>,
    /// How many devices it selected at its start; 0 before.
    pub total_devices: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it came to its end.
    pub ended_at: Option<Timestamp>,
    /// What its rollback reaches and why; none while nobody wants one.
    pub rollback: Option<Rollback>,
    /// What its last applied decision said, in sentences for people.
    pub explain: Vec<String>,
    /// Counts every applied change; an applied decision must name the one it was made on.
    pub generation: i64,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignSpec {
    /// 1 to 200 characters.
    pub name: String,
    /// For people.
    pub description: String,
    /// What to install.
    pub firmware: FirmwareId,
    /// On whom.
    pub targets: Targets,
    /// Whether beta firmware is meant.
    pub allow_beta: bool,
    /// Who decides who gets it and when.
    pub strategy: PluginUse,
    /// Who else has a say.
    pub policies: Vec<PluginUse>,
    /// Which of several open updates a device is shown.
    pub priority: Priority,
    /// Most devices in flight at once.
    pub max_concurrent_updates: Option<u64>,
    /// How its updates are put to their devices. The whole of one has 5 to 1440 minutes.
    pub options: UpdateOptions,
    /// Whether somebody else than its maker must approve it before it starts.
    pub requires_approval: bool,
    /// Whether the host obeys a policy's roll-back by itself.
    pub auto_rollback: bool,
    /// Share of a wave, 1 to 100 percent, whose failure stops the campaign whatever plugins say.
    pub failure_threshold_percent: u8,
    /// What counts as success.
    pub success_criteria: SuccessCriteria,
}

/// Whom a campaign means: devices that any of these names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// By id.
    pub devices: Vec<String>,
    /// By group.
    pub groups: Vec<String>,
    /// By RSQL.
    pub filter: Option<String>,
    /// Those that follow this feed; then nothing else names any. The newest campaign on a feed wins.
    pub feed: Option<String>,
}

/// A plugin as a campaign uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginUse {
    /// Its name.
    pub plugin: String,
    /// The revision that the campaign is pinned to.
    pub revision: Digest,
    /// The revision's own version.
    pub version: String,
    /// What it decides.
    pub kind: crate::plugin::PluginKind,
    /// JSON object.
    pub config: String,
}

/// The host's own stop: a plugin broke, or a policy or the failure ceiling said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// In words.
    pub reason: String,
    /// The plugin or the host.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
}

/// Somebody's approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// What they said.
    pub comment: String,
    /// When.
    pub at: Timestamp,
}

/// A rollback that was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// What it reaches.
    pub scope: RollbackScope,
    /// Why.
    pub reason: String,
    /// An operator, a plugin or the host.
    pub by: String,
}

/// How urgent a campaign is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names of the priorities")]
pub enum Priority {
    Low,
    Normal,
    High,
    Critical,
    Emergency,
}

impl Priority {
    const ALL: [Self; 5] = [
        Self::Low,
        Self::Normal,
        Self::High,
        Self::Critical,
        Self::Emergency,
    ];

    /// Its name in SQL and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
            Self::Emergency => "emergency",
        }
    }

    /// The priority of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|priority| priority.as_str() == text)
    }

    /// The weight of its updates, 0 to 1000 as hawkBit has them.
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

/// The weight of the updates of a rollback: before everything else.
pub const ROLLBACK_WEIGHT: i32 = 1000;

/// Where a campaign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CampaignStatus {
    /// Made.
    Created,
    /// Releases devices.
    InProgress,
    /// Somebody stopped it for now.
    Paused,
    /// The host stopped it for now.
    Held,
    /// On its way back.
    RollingBack,
    /// Back.
    RolledBack,
    /// Done.
    Completed,
    /// Given up.
    Failed,
    /// Somebody stopped it for good.
    Cancelled,
}

impl CampaignStatus {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::InProgress,
        Self::Paused,
        Self::Held,
        Self::RollingBack,
        Self::RolledBack,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Its name in SQL and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::InProgress => "in_progress",
            Self::Paused => "paused",
            Self::Held => "held",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether nothing more will come of it by itself.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::RolledBack | Self::Completed | Self::Failed | Self::Cancelled
        )
    }

    /// Whether a loop has work to do for it.
    pub fn is_running(self) -> bool {
        matches!(self, Self::InProgress | Self::RollingBack)
    }

    /// Where the step leads.
    pub fn after(self, step: Transition) -> Result<Self, InvalidTransition> {
        use CampaignStatus as S;
        match (step, self) {
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
            ) => Ok(S::RollingBack),
            (Transition::Complete, S::InProgress) => Ok(S::Completed),
            (Transition::Fail, S::InProgress) => Ok(S::Failed),
            (Transition::FinishRollback, S::RollingBack) => Ok(S::RolledBack),
            (step, from) => Err(InvalidTransition { step, from }),
        }
    }
}

/// A step of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the steps")]
pub enum Transition {
    Start,
    Pause,
    Resume,
    Cancel,
    Hold,
    RollBack,
    FinishRollback,
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
            Self::FinishRollback => "end the rollback of",
            Self::Complete => "complete",
            Self::Fail => "give up",
        }
    }
}

/// A step that cannot be taken from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot {} a campaign that is {}", .step.verb(), .from.as_str())]
pub struct InvalidTransition {
    /// The step.
    pub step: Transition,
    /// Where the campaign stands.
    pub from: CampaignStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_states_only_allow_rollback() {
        let steps = [
            Transition::Start,
            Transition::Pause,
            Transition::Resume,
            Transition::Cancel,
            Transition::Hold,
            Transition::FinishRollback,
            Transition::Complete,
            Transition::Fail,
        ];
        for from in CampaignStatus::ALL
            .into_iter()
            .filter(|status| status.is_final())
        {
            for step in steps {
                assert_eq!(from.after(step), Err(InvalidTransition { step, from }));
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
    }

    #[test]
    fn invalid_transitions_have_a_clear_message() {
        let error = CampaignStatus::InProgress
            .after(Transition::Start)
            .expect_err("it has started");
        assert_eq!(
            error.to_string(),
            "cannot start a campaign that is in_progress"
        );
    }
}
