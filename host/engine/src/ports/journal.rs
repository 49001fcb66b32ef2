use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::{
    id::{CampaignId, Digest, TenantId},
    time::Timestamp,
};

use super::{Page, PageRequest, StoreError};

/// Every decision with its observation.
#[async_trait]
pub trait Journal: Send + Sync {
    /// A part of a campaign's journal, oldest first, from the entry after this one.
    async fn journal(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        after: i64,
        page: PageRequest,
    ) -> Result<Page<JournalEntry>, StoreError>;

    /// One entry with what is needed to replay it.
    async fn recorded_call(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        seq: i64,
    ) -> Result<Option<RecordedCall>, StoreError>;
}

/// An entry to be stored. Its `seq` follows the campaign's last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJournalEntry {
    /// What kind of question it was.
    pub kind: EntryKind,
    /// When.
    pub at: Timestamp,
    /// The plugin's name; empty for the host's own acts.
    pub plugin: String,
    /// The plugin's revision.
    pub revision: Option<Digest>,
    /// sha256 of the question.
    pub input_digest: Option<Digest>,
    /// As the sandbox recorded it.
    pub input: Vec<u8>,
    /// As the sandbox recorded it.
    pub output: Vec<u8>,
    /// Units burnt.
    pub fuel: u64,
    /// Wall time.
    pub duration: Duration,
    /// One word: what came of it.
    pub outcome: String,
    /// Sentences for people.
    pub explain: Vec<String>,
    /// Whether it had its effect.
    pub applied: bool,
}

/// What kind of question an entry records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the calls")]
pub enum EntryKind {
    Plan,
    Assign,
    Check,
    Evaluate,
    Decide,
    /// The host's own act, such as the failure ceiling or a hold.
    Host,
}

impl EntryKind {
    const ALL: [Self; 6] = [
        Self::Plan,
        Self::Assign,
        Self::Check,
        Self::Evaluate,
        Self::Decide,
        Self::Host,
    ];

    /// Its name in SQL and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Assign => "assign",
            Self::Check => "check",
            Self::Evaluate => "evaluate",
            Self::Decide => "decide",
            Self::Host => "host",
        }
    }

    /// The kind of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// An entry as lists show it: all but question and answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each field is the field of NewEntry of that name"
)]
pub struct JournalEntry {
    /// Counts from 1 in each campaign.
    pub seq: i64,
    pub kind: EntryKind,
    pub at: Timestamp,
    pub plugin: String,
    pub revision: Option<Digest>,
    pub input_digest: Option<Digest>,
    pub fuel: u64,
    pub duration: Duration,
    pub outcome: String,
    pub explain: Vec<String>,
    pub applied: bool,
}

/// An entry with what is needed to replay it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCall {
    /// The entry.
    pub entry: JournalEntry,
    /// As the sandbox recorded it.
    pub input: Vec<u8>,
    /// As the sandbox recorded it.
    pub output: Vec<u8>,
}
