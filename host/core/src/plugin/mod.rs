//! What plugins are shown and what they answer: the domain's side of the plugin contract.
//!
//! The shapes follow `wit/`, whose comments say what each field means; every published version of the contract is
//! translated to and from these types by the sandbox.

mod compatibility;
mod health;
mod rollout;

pub use compatibility::{CheckInput, Compatibility};
pub use health::{
    Durations, HealthAnswer, HealthCheck, HealthInput, HealthVerdict, Metric, Sample,
};
pub use rollout::{
    Admission, AssignInput, Census, Decision, DecisionOutcome, GroupSize, Members, Observation,
    OperatorAct, OperatorActKind, Plan, PlanInput, PlannedWave, PolicyVerdict, UNASSIGNED,
};

use std::time::Duration;

use crate::time::Timestamp;

/// The world that a plugin exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginKind {
    /// Decides who gets a firmware and when.
    Strategy,
    /// Decides which device classes may take a firmware.
    Compatibility,
    /// Decides whether a campaign is going well.
    Health,
}

impl PluginKind {
    /// Its name in SQL, REST and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strategy => "strategy",
            Self::Compatibility => "compatibility",
            Self::Health => "health",
        }
    }

    /// The kind of this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Strategy, Self::Compatibility, Self::Health]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `[a-z0-9-]`, 1 to 64 characters.
    pub name: String,
    /// `SemVer`.
    pub version: String,
    /// One sentence for people.
    pub summary: String,
    /// JSON Schema (2020-12) of the config.
    pub config_schema: String,
    /// Changes when the opaque state does.
    pub state_schema: u32,
    /// Telemetry metrics that it wants.
    pub metrics: Vec<String>,
    /// Device attributes that it wants classes to be made of.
    pub attributes: Vec<String>,
}

/// A rule that a config breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// JSON pointer into the config, empty for the whole.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// What is known of a campaign and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// When the question is asked.
    pub now: Timestamp,
    /// Derived from the campaign.
    pub seed: u64,
    /// When the campaign started; none while it is planned.
    pub started_at: Option<Timestamp>,
    /// How many devices may be in flight at once.
    pub max_in_flight: Option<u64>,
    /// Basis points of a wave whose failure stops the campaign.
    pub failure_ceiling: u16,
    /// How long a device has from offer to end.
    pub update_timeout: Duration,
    /// Whether the host obeys a policy's roll-back by itself.
    pub auto_rollback: bool,
    /// Knowledge that later hosts hand over.
    pub facts: Vec<(String, String)>,
}

/// The firmware as plugins see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(
    missing_docs,
    reason = "each field is the firmware's field of that name"
)]
pub struct FirmwareFacts {
    pub name: String,
    pub version: String,
    pub device_model: Option<String>,
    pub manufacturer: Option<String>,
    pub min_hardware_version: Option<String>,
    pub max_hardware_version: Option<String>,
    pub beta: bool,
    pub security_update: bool,
    pub tags: Vec<String>,
    pub metadata: Vec<(String, String)>,
}

/// What makes devices alike for plugins: hardware, version and the attributes that plugins want.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ClassKey {
    /// Reported hardware model.
    pub hardware_model: Option<String>,
    /// Reported hardware revision.
    pub hardware_revision: Option<String>,
    /// Reported software version.
    pub version: Option<String>,
    /// Wanted attributes that the device has, by key.
    pub attributes: Vec<(String, String)>,
}

/// Devices that no plugin can tell apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceClass {
    /// What they share.
    pub key: ClassKey,
    /// How many there are.
    pub devices: u64,
}

/// What a rollback reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollbackScope {
    /// Devices in flight and devices already done.
    Everything,
    /// Devices in flight.
    InFlight,
}

impl RollbackScope {
    /// Its name in SQL and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::InFlight => "in_flight",
        }
    }

    /// The scope of this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Everything, Self::InFlight]
            .into_iter()
            .find(|scope| scope.as_str() == text)
    }
}

/// A wish to go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackRequest {
    /// What it reaches.
    pub scope: RollbackScope,
    /// Why, in words.
    pub reason: String,
}

/// One counted reason of failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `error_code` of the updates.
    pub code: String,
    /// How many devices failed with it.
    pub devices: u64,
}
