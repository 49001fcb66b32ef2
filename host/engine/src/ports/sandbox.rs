//! Running plugins.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_core::{
    id::Digest,
    plugin::{
        AssignInput, CheckInput, Compatibility, Decision, Description, FieldError, HealthAnswer,
        HealthInput, Observation, Plan, PlanInput, PluginKind,
    },
};

/// Runs plugins under limits. Every call has an instance of its own, so calls share nothing.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// Takes a component in: checks its imports and its world, compiles it in a process apart, tries it, and has it
    /// describe itself. Nothing is kept but the compiled code.
    async fn inspect(&self, component: Bytes) -> Result<Inspection, Rejection>;

    /// Checks a config, JSON text, against the plugin's schema and then by the plugin. Empty: it is good.
    async fn validate(&self, plugin: Digest, config: &str) -> Validation;

    /// A strategy's `plan`.
    async fn plan(&self, plugin: Digest, input: PlanInput) -> Call<Plan>;

    /// A strategy's `assign`: a wave for each row, `UNASSIGNED` for none.
    async fn assign(&self, plugin: Digest, input: AssignInput) -> Call<Vec<u16>>;

    /// A strategy's `decide`.
    async fn decide(&self, plugin: Digest, observation: Observation) -> Call<Decision>;

    /// A compatibility policy's `check`: one verdict for each class.
    async fn check(&self, plugin: Digest, input: CheckInput) -> Call<Vec<Compatibility>>;

    /// A health policy's `evaluate`.
    async fn evaluate(&self, plugin: Digest, input: HealthInput) -> Call<HealthAnswer>;

    /// Asks a recorded question again, of the same or of another revision.
    async fn replay(&self, plugin: Digest, input: &[u8]) -> Call<()>;

    /// A recorded question or answer as JSON text for people and REST.
    fn readable(&self, record: &[u8]) -> Result<String, CallFailure>;
}

/// The components' bytes, by digest. Needed when the cache of compiled code has lost one.
#[async_trait]
pub trait ComponentSource: Send + Sync {
    /// The bytes whose sha256 is `digest`; none when there are no such bytes.
    async fn component(&self, digest: Digest) -> std::io::Result<Option<Bytes>>;
}

/// What the host learned of a component at upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// sha256 of its bytes.
    pub digest: Digest,
    /// The world that it exports.
    pub kind: PluginKind,
    /// The contract version that it was built for, such as `1.0.0`.
    pub contract: String,
    /// What it says of itself.
    pub description: Description,
}

/// Why a component was not taken in. The message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It cannot be a plugin, whoever asks.
    #[error("{0}")]
    Invalid(String),
    /// The host could not find out; asking again may help.
    #[error("{0}")]
    Unavailable(String),
}

/// What came of a config that was checked.
#[derive(Debug, Clone)]
pub struct Validation {
    /// What is wrong with it, or why nobody can say.
    pub outcome: Result<Vec<FieldError>, CallFailure>,
    /// What the plugin's own `validate` cost: fuel and time. None: the plugin was not asked, since its schema said
    /// enough or it could not be loaded.
    pub asked: Option<(u64, Duration)>,
}

/// One call of a plugin: what came of it and what it cost.
#[derive(Debug, Clone)]
pub struct Call<T> {
    /// The answer, or why there is none.
    pub outcome: Result<T, CallFailure>,
    /// Units of fuel burnt.
    pub fuel: u64,
    /// Most bytes of memory held at once.
    pub peak_memory: u64,
    /// Wall time, instantiation and all.
    pub duration: Duration,
    /// What the plugin wrote for the operator.
    pub log: Vec<String>,
    /// The question and the answer as they crossed the border.
    pub record: CallRecord,
}

/// A question and its answer, compressed and canonical: the same question has the same bytes on every host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallRecord {
    /// What was asked, with the name of the call.
    pub input: Vec<u8>,
    /// sha256 of the question before compression.
    pub input_digest: Option<Digest>,
    /// What was answered; empty when nothing was.
    pub output: Vec<u8>,
}

/// Why a call has no answer. Text is for people; nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// The plugin's own `err`.
    #[error("the plugin refused: {0}")]
    PluginError(String),
    /// It trapped; with the panic's message where it wrote one.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// It burnt more fuel than it was given.
    #[error("the plugin ran out of fuel ({0} units)")]
    OutOfFuel(u64),
    /// It took longer than it may; load may be the cause.
    #[error("the plugin ran past its deadline of {0:?}")]
    Deadline(Duration),
    /// It wanted more memory than it may have.
    #[error("the plugin wanted more than {0} bytes of memory")]
    OutOfMemory(u64),
    /// Its answer is larger than an answer may be.
    #[error("the plugin's answer is larger than {0} bytes")]
    AnswerTooLarge(u64),
    /// Its answer breaks a rule of the contract.
    #[error("the plugin's answer breaks the contract: {0}")]
    InvalidAnswer(String),
    /// It does not fit the contract.
    #[error("the plugin does not fit the contract: {0}")]
    Link(String),
    /// The host failed, not the plugin.
    #[error("the host could not run the plugin: {0}")]
    Host(String),
}

impl CallFailure {
    /// Its class in the journal, in metrics and in REST.
    pub fn class(&self) -> &'static str {
        match self {
            Self::PluginError(_) => "plugin-error",
            Self::Trap(_) => "trap",
            Self::OutOfFuel(_) => "out-of-fuel",
            Self::Deadline(_) => "deadline",
            Self::OutOfMemory(_) => "out-of-memory",
            Self::AnswerTooLarge(_) => "answer-too-large",
            Self::InvalidAnswer(_) => "invalid-answer",
            Self::Link(_) => "link",
            Self::Host(_) => "host",
        }
    }

    /// Whether asking the same again gives the same; else load may be the cause.
    pub fn is_deterministic(&self) -> bool {
        !matches!(self, Self::Deadline(_) | Self::Host(_))
    }
}
