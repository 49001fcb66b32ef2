use std::time::Duration;

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::{Context, DeviceClass, FirmwareFacts, HealthVerdict, PageOf, RollbackRequest};
use crate::{measurement::Durations, time::Timestamp, wave::WaveReport};

/// Marks a device without a wave in an assignment, or without a group.
pub const UNASSIGNED: u32 = u32::MAX;

/// Number of selected devices in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSize {
    /// Name of the group.
    pub name: String,
    /// Devices of the group in this campaign.
    pub devices: u64,
}

/// The selected, compatible devices of a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// Number of devices.
    pub devices: u64,
    /// By group, sorted by name.
    pub groups: Vec<GroupSize>,
    /// By class, sorted by key.
    pub classes: Vec<DeviceClass>,
}

/// Input of a strategy's `plan`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanInput {
    /// The campaign.
    pub context: Context,
    /// Firmware of the campaign.
    pub firmware: FirmwareFacts,
    /// Devices of the campaign.
    pub census: Census,
    /// Config as JSON.
    pub config: String,
}

/// Members of a wave; `wit/` defines the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// A fixed number of devices.
    Count(u64),
    /// A share of all selected devices in basis points. The sum of the shares so far is rounded up.
    Share(u16),
    /// The devices that match an RSQL selector.
    Selector(String),
    /// The devices with these ids.
    Devices(Vec<String>),
    /// All remaining devices.
    Rest,
    /// The devices that `assign` assigns.
    Custom,
}

/// One wave of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedWave {
    /// Display name.
    pub name: String,
    /// Members of the wave.
    pub members: Members,
}

/// A rollout plan: the waves of a campaign, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// At least one wave.
    pub waves: Vec<PlannedWave>,
    /// Allows waves to open in any order.
    pub parallel: bool,
    /// Devices join the plan after the start. Not supported.
    pub dynamic: bool,
}

/// Input of a strategy's `assign`: columns of equal length, one row per device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignInput {
    /// The campaign.
    pub context: Context,
    /// Config as JSON.
    pub config: String,
    /// The plan's waves.
    pub waves: Vec<PlannedWave>,
    /// Group names that `group` indexes.
    pub groups: Vec<String>,
    /// Classes that `class` indexes.
    pub classes: Vec<DeviceClass>,
    /// Which of the pages of devices this is.
    pub page: PageOf,
    /// Index of the device's first group, [`UNASSIGNED`] for none.
    pub group: Vec<u32>,
    /// Index of the device's class.
    pub class: Vec<u32>,
    /// Upper 32 bits of the device's key in the campaign's stable order.
    pub place: Vec<u32>,
}

/// An operator's action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorAct {
    /// Time of the action.
    pub at: Timestamp,
    /// Kind of action.
    pub kind: OperatorActKind,
    /// For `Advanced`: the gate that the campaign waited at, or that the operator named.
    pub gate: Option<String>,
    /// For `Advanced`: the wave behind the gate; `None`: the gate is inside a wave.
    pub wave: Option<u32>,
    /// The operator's reason.
    pub reason: Option<String>,
    /// The operator's role, as the REST API names it.
    pub role: String,
}

/// Operator actions that strategies can see.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "the names of the acts")]
pub enum OperatorActKind {
    Started,
    Paused,
    Resumed,
    Advanced,
}

/// Verdict of a health policy, as strategies see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVerdict {
    /// Plugin name of the policy.
    pub policy: String,
    /// Verdict.
    pub verdict: HealthVerdict,
    /// Confidence in basis points.
    pub confidence: u16,
}

/// Input of a strategy's `decide`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The campaign.
    pub context: Context,
    /// Firmware of the campaign.
    pub firmware: FirmwareFacts,
    /// The last 64 operator actions, oldest first.
    pub operator: Vec<OperatorAct>,
    /// Reports of the waves, in the plan's order.
    pub waves: Vec<WaveReport>,
    /// Durations of the updates of all waves.
    pub durations: Durations,
    /// Verdicts of the campaign's health policies, in the campaign's order.
    pub verdicts: Vec<PolicyVerdict>,
    /// Config as JSON.
    pub config: String,
    /// State of the plugin, from its last applied decision.
    pub state: Vec<u8>,
}

/// Release level of a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Index of the wave.
    pub wave: u32,
    /// Number of devices released in total, not in addition.
    pub devices: u64,
}

/// A place where a campaign waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Shown to operators, who advance the campaign by it.
    pub name: String,
    /// The wave that opens behind it; `None`: the gate is inside a wave, or before the end.
    pub before: Option<u32>,
}

/// Course of the campaign after a decision.
#[derive(Debug, Clone, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum DecisionOutcome {
    /// Continue.
    Proceed,
    /// Wait for an operator at this gate.
    AwaitOperator(Gate),
    /// Release nothing more until an operator resumes, with the reason.
    Hold(String),
    /// Roll back.
    RollBack(RollbackRequest),
    /// Complete the campaign. If a device was never released, with the reason.
    Complete(Option<String>),
    /// Fail the campaign, with the reason.
    Fail(String),
}

/// Output of a strategy's `decide`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Release levels, at most one per wave.
    pub releases: Vec<Release>,
    /// Course of the campaign.
    pub outcome: DecisionOutcome,
    /// Time until the next call at the latest.
    pub wake_after: Option<Duration>,
    /// State for the next call.
    pub state: Vec<u8>,
    /// Sentences for operators.
    pub explain: Vec<String>,
}
