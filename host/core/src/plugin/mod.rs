//! Inputs and outputs of plugins: the domain's side of the plugin contract.
//!
//! The types follow `wit/`, where each field is documented. The sandbox converts every published version of the
//! contract to and from these types.

mod compatibility;
mod health;
mod name;
mod revision_state;
mod rollout;

pub use compatibility::{CheckInput, Compatibility};
pub use health::{HealthAnswer, HealthInput, HealthVerdict};
pub use name::{InvalidPluginName, PluginName};
pub use revision_state::{RevisionState, highest_release};
pub use rollout::{
    AssignInput, Census, Decision, DecisionOutcome, Gate, GroupSize, Members, Observation,
    OperatorAct, OperatorActKind, Plan, PlanInput, PlannedWave, PolicyVerdict, Release, UNASSIGNED,
};

use std::time::Duration;

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::time::Timestamp;

/// Kind of plugin: the world that the component exports.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    IntoStaticStr,
    EnumString,
    VariantArray,
    VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum PluginKind {
    /// Plans waves and decides when devices are released.
    Strategy,
    /// Decides which device classes may get a firmware.
    Compatibility,
    /// Decides whether a campaign is healthy.
    Health,
}

/// Where a server got a revision of a plugin from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum Origin {
    /// It was built with a server. A later server may have another build of it.
    BuiltIn,
    /// The server's folder of components.
    Folder,
    /// An upload.
    Upload,
}

/// Self-description of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The plugin's name.
    pub name: PluginName,
    /// Version: `SemVer`.
    pub version: String,
    /// One sentence for operators.
    pub summary: String,
    /// JSON Schema (2020-12) of the config.
    pub config_schema: String,
    /// Version of the plugin's state format.
    pub state_schema: u32,
}

/// What a plugin has to be shown to work with a config.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interests {
    /// Device attributes that are part of a class.
    pub attributes: Vec<String>,
    /// Telemetry metrics.
    pub metrics: Vec<String>,
    /// Facts in the context.
    pub facts: Vec<String>,
}

/// The part of a long list that a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageOf {
    /// Counts from 0.
    pub number: u32,
    /// Number of pages.
    pub total: u32,
}

impl PageOf {
    /// The only page of a list.
    pub const ONLY: Self = Self {
        number: 0,
        total: 1,
    };
}

/// A validation error of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field. In a plugin's config a JSON pointer; in types of the domain and inputs of the engine the
    /// names of the fields, separated by dots. Empty: the whole value.
    pub path: String,
    /// The problem and the expected value.
    pub message: String,
}

/// A campaign and its limits as plugins see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Time of the call.
    pub now: Timestamp,
    /// Seed of the campaign's stable order.
    pub seed: u64,
    /// Time of the campaign's start; `None` during planning.
    pub started_at: Option<Timestamp>,
    /// Maximum devices in flight.
    pub max_in_flight: Option<u64>,
    /// Share of failed devices of a wave, in basis points, at which the host stops the campaign.
    pub failure_ceiling: u16,
    /// Update timeout of the campaign.
    pub update_timeout: Duration,
    /// Rolls back without an operator when a plugin asks for it.
    pub auto_rollback: bool,
    /// Additional key-value pairs; newer hosts may add keys.
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
    /// Sum of all files, in bytes.
    pub size: u64,
    pub modules: Vec<ModuleFacts>,
}

/// A module of a firmware as plugins see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the module's field of that name")]
pub struct ModuleFacts {
    pub part: String,
    pub name: String,
    pub version: String,
    /// Sum of its files, in bytes.
    pub size: u64,
}

/// Properties that devices of one class share: hardware, version and the attributes that plugins request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ClassKey {
    /// Reported hardware model.
    pub hardware_model: Option<String>,
    /// Reported hardware revision.
    pub hardware_revision: Option<String>,
    /// Reported software version.
    pub version: Option<String>,
    /// Requested attributes that the device reports, by key.
    pub attributes: Vec<(String, String)>,
}

/// Devices that plugins cannot distinguish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceClass {
    /// Shared properties.
    pub key: ClassKey,
    /// Number of devices.
    pub devices: u64,
}

/// Devices that a rollback includes.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    IntoStaticStr,
    EnumString,
    VariantArray,
    VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum RollbackScope {
    /// Devices in flight and devices that completed.
    #[default]
    Everything,
    /// Only devices in flight.
    InFlight,
}

/// A plugin's request to roll back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackRequest {
    /// Devices to include.
    pub scope: RollbackScope,
    /// Reason for operators.
    pub reason: String,
}
