use std::time::Duration;

use super::{Context, DeviceClass, FirmwareFacts, HealthVerdict, RollbackRequest};
use crate::{time::Timestamp, wave::WaveReport};

/// In an assignment: no wave.
pub const UNASSIGNED: u16 = u16::MAX;

/// How many selected devices a group has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSize {
    /// Its name.
    pub name: String,
    /// Its devices in this campaign.
    pub devices: u64,
}

/// The devices selected and compatible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// In all.
    pub devices: u64,
    /// By group, ordered by name.
    pub groups: Vec<GroupSize>,
    /// By class, ordered by key.
    pub classes: Vec<DeviceClass>,
}

/// What a strategy is shown when it plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanInput {
    /// The campaign.
    pub context: Context,
    /// What is to be installed.
    pub firmware: FirmwareFacts,
    /// On whom.
    pub census: Census,
    /// JSON.
    pub config: String,
}

/// Which devices make a wave; see the contract for the rules of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// So many.
    Count(u64),
    /// This share of all selected devices, in basis points, rounded up.
    Share(u16),
    /// Those that match this RSQL.
    Selector(String),
    /// Those with these ids.
    Devices(Vec<String>),
    /// All that are left.
    Rest,
    /// Those that `assign` names.
    Custom,
}

/// One wave of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedWave {
    /// For people.
    pub name: String,
    /// Who is in it.
    pub members: Members,
}

/// The waves of a campaign, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// At least one.
    pub waves: Vec<PlannedWave>,
    /// Waves may open in any order.
    pub parallel: bool,
    /// Devices that match later join the last wave.
    pub dynamic: bool,
}

/// What a strategy is shown when it assigns devices to `custom` waves: columns of equal length, a row a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignInput {
    /// The campaign.
    pub context: Context,
    /// JSON.
    pub config: String,
    /// The plan's waves.
    pub waves: Vec<PlannedWave>,
    /// What `group` points into.
    pub groups: Vec<String>,
    /// What `class` points into.
    pub classes: Vec<DeviceClass>,
    /// Index of the device's first group, [`UNASSIGNED`] for none.
    pub group: Vec<u16>,
    /// Index of the device's class.
    pub class: Vec<u32>,
    /// The device's place in the campaign's stable order, spread over the whole range.
    pub place: Vec<u32>,
}

/// What an operator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorAct {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: OperatorActKind,
    /// For `Advanced`: the wave behind the gate.
    pub wave: Option<u32>,
}

/// The acts of operators that a strategy can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the acts")]
pub enum OperatorActKind {
    Started,
    Paused,
    Resumed,
    Advanced,
}

impl OperatorActKind {
    /// Its name in SQL and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Advanced => "advanced",
        }
    }

    /// The act of this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Started, Self::Paused, Self::Resumed, Self::Advanced]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// A health policy's verdict as the strategy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVerdict {
    /// The policy's plugin name.
    pub policy: String,
    /// What it said.
    pub verdict: HealthVerdict,
    /// How sure it is, in basis points.
    pub confidence: u16,
}

/// What a strategy is shown at every tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The campaign.
    pub context: Context,
    /// What is being installed.
    pub firmware: FirmwareFacts,
    /// Oldest first, the last 64.
    pub operator: Vec<OperatorAct>,
    /// Wave by wave, in the plan's order.
    pub waves: Vec<WaveReport>,
    /// Of the campaign's health policies, in the campaign's order.
    pub verdicts: Vec<PolicyVerdict>,
    /// JSON.
    pub config: String,
    /// Its own, from the last applied decision.
    pub state: Vec<u8>,
}

/// How many of a wave's devices may have been admitted in total by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Index of the wave.
    pub wave: u32,
    /// A level, not a step.
    pub devices: u64,
}

/// Where a strategy wants the campaign to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionOutcome {
    /// On.
    Proceed,
    /// Wait for an operator at the gate before this wave.
    AwaitOperator(u32),
    /// Release nothing more until an operator resumes, and why.
    Hold(String),
    /// Back.
    RollBack(RollbackRequest),
    /// Done.
    Complete,
    /// Given up, and why.
    Fail(String),
}

impl DecisionOutcome {
    /// Its name in the journal and in REST.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Proceed => "proceed",
            Self::AwaitOperator(_) => "await_operator",
            Self::Hold(_) => "hold",
            Self::RollBack(_) => "roll_back",
            Self::Complete => "complete",
            Self::Fail(_) => "fail",
        }
    }
}

/// What a strategy answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Levels, at most one a wave.
    pub admissions: Vec<Admission>,
    /// Where to go.
    pub outcome: DecisionOutcome,
    /// Ask again after this long.
    pub wake_after: Option<Duration>,
    /// Handed back at the next call.
    pub state: Vec<u8>,
    /// Sentences for people.
    pub explain: Vec<String>,
}
