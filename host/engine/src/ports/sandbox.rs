//! Execution of plugins.

use std::{ops::Deref, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use strum::{EnumDiscriminants, EnumString, IntoStaticStr, VariantNames};
use tidegate_core::{
    id::{Digest, TenantId},
    plugin::{
        AssignInput, CheckInput, Compatibility, Decision, Description, FieldError, HealthAnswer,
        HealthInput, Interests, Observation, Plan, PlanInput, PluginKind,
    },
};

/// Runs plugins under resource limits. Every call has its own instance; calls share no state. Calls name their tenant,
/// because each tenant has a share of the calls that can run at the same time.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// Verifies a component: checks its imports and its world, compiles it in a separate process, makes trial calls,
    /// and reads its description. Stores only the compiled code. Without a tenant it is the server's own.
    async fn inspect(
        &self,
        tenant: Option<TenantId>,
        component: Bytes,
    ) -> Result<Inspection, Rejection>;

    /// Deletes the compiled code of a component that is not stored any more, or was refused. A later call compiles it again.
    async fn discard_code(&self, component: Digest);

    /// Validates a config, JSON text, against the plugin's schema and then with the plugin's own `validate`.
    async fn validate(&self, tenant: TenantId, plugin: Digest, config: &str) -> Validation;

    /// What the plugin has to be shown to work with this config, JSON text. A call of the plugin takes a permit of the
    /// quota.
    async fn wants(
        &self,
        tenant: TenantId,
        quota: CallQuota,
        plugin: Digest,
        config: &str,
    ) -> Wants;

    /// A strategy's `plan`.
    async fn plan(&self, tenant: TenantId, plugin: Digest, input: PlanInput) -> Call<Plan>;

    /// A strategy's `assign`: the index of a wave for each row, or `UNASSIGNED`.
    async fn assign(&self, tenant: TenantId, plugin: Digest, input: AssignInput) -> Call<Vec<u32>>;

    /// A strategy's `decide`.
    async fn decide(
        &self,
        tenant: TenantId,
        plugin: Digest,
        observation: Observation,
    ) -> Call<Decision>;

    /// A compatibility policy's `check`: one verdict for each class.
    async fn check(
        &self,
        tenant: TenantId,
        plugin: Digest,
        input: CheckInput,
    ) -> Call<Vec<Compatibility>>;

    /// A health policy's `evaluate`.
    async fn evaluate(
        &self,
        tenant: TenantId,
        plugin: Digest,
        input: HealthInput,
    ) -> Call<HealthAnswer>;

    /// Repeats a recorded call with the same or with another revision, under the recorded limits. `None`: under today's.
    async fn replay(
        &self,
        tenant: TenantId,
        plugin: Digest,
        input: &[u8],
        limits: Option<CallLimits>,
    ) -> Call<()>;

    /// The versions of the contract that plugins may be built for.
    fn contracts(&self) -> &'static [&'static str];

    /// A recorded input or output as readable JSON text.
    fn record_json(&self, record: &[u8]) -> Result<String, CallFailure>;

    /// A recorded input, and the output that is expected of it, as a golden: JSON text with `call`, `input` and `expect`.
    fn golden(&self, input: &[u8], output: Option<&[u8]>) -> Result<String, CallFailure>;
}

/// Components by digest. Used when the cache of compiled code misses.
#[async_trait]
pub trait ComponentSource: Send + Sync {
    /// The component whose sha256 is `digest`. `None`: it does not exist. `InvalidData`: the stored one is damaged.
    async fn component(&self, digest: Digest) -> std::io::Result<Option<Bytes>>;
}

/// What the verification of a component found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// sha256 of the component.
    pub digest: Digest,
    /// The world that it exports.
    pub kind: PluginKind,
    /// The contract version that it was built for, one of [`Sandbox::contracts`].
    pub contract: String,
    /// What it reports of itself.
    pub description: Description,
}

/// Why a component was rejected. The message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The component is not a valid plugin.
    #[error("{0}")]
    Invalid(String),
    /// The server could not verify it; a retry may help.
    #[error("{0}")]
    Unavailable(String),
    /// Too many components wait for their inspection; a retry after this time may help.
    #[error("too many components wait for their inspection")]
    QueueFull(Duration),
}

/// Result of validating a config.
#[derive(Debug, Clone)]
pub struct Validation {
    /// The field errors; empty: the config is valid.
    pub outcome: Result<Vec<FieldError>, CallFailure>,
    /// Fuel and time of the plugin's own `validate`. `None`: the plugin was not called, because the schema check failed
    /// or it could not be loaded.
    pub cost: Option<(u64, Duration)>,
}

/// The quota of a call that is made for a campaign. Each has permits of its own, so that decisions do not wait for plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallQuota {
    /// `decide` and `evaluate`: short calls that advance a running campaign.
    Decisions,
    /// `plan`, `assign` and `check`: long calls.
    Planning,
}

/// What a plugin wants. Its answer is always the same, so it is remembered.
#[derive(Debug, Clone)]
pub enum Wants {
    /// It was known already.
    Known(Interests),
    /// The plugin was called.
    Called(Call<Interests>),
}

/// One call of a plugin: its result and its resource usage.
#[derive(Debug, Clone)]
pub struct Call<T> {
    /// The output, or why there is none.
    pub outcome: Result<T, CallFailure>,
    /// Units of fuel consumed.
    pub fuel: u64,
    /// Peak memory in bytes.
    pub peak_memory: u64,
    /// Wall time including instantiation.
    pub duration: Duration,
    /// Log lines of the plugin.
    pub log: Vec<String>,
    /// The recorded input and output.
    pub record: CallRecord,
}

impl<T> Call<T> {
    /// A call that failed before it ran.
    pub fn failed(failure: CallFailure) -> Self {
        Self {
            outcome: Err(failure),
            fuel: 0,
            peak_memory: 0,
            duration: Duration::ZERO,
            log: Vec::new(),
            record: CallRecord::default(),
        }
    }

    /// Checks or converts the output. The resource usage and the record stay.
    pub fn and_then<U>(self, check: impl FnOnce(T) -> Result<U, CallFailure>) -> Call<U> {
        Call {
            outcome: self.outcome.and_then(check),
            fuel: self.fuel,
            peak_memory: self.peak_memory,
            duration: self.duration,
            log: self.log,
            record: self.record,
        }
    }
}

/// Input and output of a call, compressed and canonical: equal inputs have equal bytes on every server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallRecord {
    /// The input, with the name of the call.
    pub input: Record,
    /// sha256 of the input before compression.
    pub input_digest: Option<Digest>,
    /// The output; empty if there is none.
    pub output: Record,
    /// The limits under which it was made. `None`: the plugin was not called.
    pub limits: Option<CallLimits>,
}

/// The limits of a call that can change its answer. The deadline cannot: a call that misses it has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Units of fuel.
    pub fuel: u64,
    /// The version of the costs by which fuel is counted. A call is repeated with the fuel of today if that is counted by
    /// another version.
    pub fuel_costs: u32,
    /// Memory in bytes, summed over all memories.
    pub memory_bytes: u64,
    /// Size of the output in bytes.
    pub answer_bytes: u64,
}

/// A recorded input or output, which is what it dereferences to. Its end is the plugin's state, if that is large: a plugin
/// that keeps its state has equal ones in many records, so that the journal can store them once.
#[derive(Debug, Clone, Default)]
pub struct Record {
    bytes: Vec<u8>,
    /// Where the state begins; the length of the bytes if it is not apart.
    state_at: usize,
}

impl Record {
    /// A record without a state apart.
    pub fn whole(bytes: Vec<u8>) -> Self {
        let state_at = bytes.len();
        Self { bytes, state_at }
    }

    /// A record with its state.
    pub fn with_state(mut text: Vec<u8>, state: &[u8]) -> Self {
        let state_at = text.len();
        text.extend_from_slice(state);
        Self {
            bytes: text,
            state_at,
        }
    }

    /// What precedes the state, and the state; empty if it is not apart.
    pub fn parts(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.state_at)
    }
}

impl Deref for Record {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Whether the bytes are equal: the state is apart in them or is not.
impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Record {}

/// Why a call has no output. Its name is the class of the failure in the journal and in metrics; the text is for display
/// only.
#[derive(
    Debug, Clone, PartialEq, Eq, thiserror::Error, IntoStaticStr, VariantNames, EnumDiscriminants,
)]
#[strum(serialize_all = "kebab-case")]
#[strum_discriminants(
    name(CallFailureClass),
    doc = "Class of a [`CallFailure`].",
    derive(EnumString),
    strum(serialize_all = "kebab-case")
)]
pub enum CallFailure {
    /// The plugin returned an error.
    #[error("the plugin returned an error: {0}")]
    PluginError(String),
    /// The plugin trapped; includes the panic message if there is one.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// The plugin exceeded its fuel limit.
    #[error("the plugin ran out of fuel ({0} units)")]
    OutOfFuel(u64),
    /// The plugin exceeded its deadline; load may be the cause.
    #[error("the plugin exceeded its deadline of {0:?}")]
    Deadline(Duration),
    /// The plugin exceeded its memory limit.
    #[error(
        "the plugin exceeded its memory limit of {0} bytes (the server's setting `sandbox.memory_bytes`)"
    )]
    OutOfMemory(u64),
    /// The output exceeds the size limit.
    #[error(
        "the plugin's output is larger than {0} bytes (the server's settings `sandbox.answer_bytes` and `sandbox.answer_bytes_per_device`)"
    )]
    AnswerTooLarge(u64),
    /// The output violates the contract.
    #[error("the plugin's output violates the contract: {0}")]
    InvalidAnswer(String),
    /// The plugin does not match the contract.
    #[error("the plugin does not match the contract: {0}")]
    Link(String),
    /// The server failed, not the plugin.
    #[error("the server could not run the plugin: {0}")]
    Host(String),
    /// The record of a call that should be replayed cannot be read.
    #[error("the record of the call cannot be read: {0}")]
    InvalidRecord(String),
}

impl CallFailure {
    /// Whether a repeated call would fail in the same way. Otherwise load may be the cause.
    pub fn is_deterministic(&self) -> bool {
        CallFailureClass::from(self).is_deterministic()
    }
}

impl CallFailureClass {
    /// Whether a repeated call would fail in the same way.
    pub fn is_deterministic(self) -> bool {
        !matches!(self, Self::Deadline | Self::Host)
    }
}
