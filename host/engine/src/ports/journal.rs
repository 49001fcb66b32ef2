use std::time::Duration;

use async_trait::async_trait;
use strum::{EnumString, IntoStaticStr, VariantNames};
use tidegate_core::{
    id::{CampaignId, Digest, TenantId},
    plugin::PluginName,
    time::Timestamp,
};

use super::{CallLimits, Page, PageRequest, Record, StoreError};

/// The record of every decision and its inputs.
#[async_trait]
pub trait Journal: Send + Sync {
    /// A page of a campaign's journal, oldest first, after the entry with sequence number `after`.
    async fn journal(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        after: i64,
        page: PageRequest,
    ) -> Result<Page<JournalEntry>, StoreError>;

    /// One entry with the recorded input and output.
    async fn recorded_call(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        seq: i64,
    ) -> Result<Option<RecordedCall>, StoreError>;

    /// The first entry after the one with sequence number `after`, with the recorded input and output.
    async fn next_recorded_call(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        after: i64,
    ) -> Result<Option<RecordedCall>, StoreError>;

    /// The number of the last entry of a campaign that was removed; 0: none was.
    async fn last_removed_entry(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> Result<i64, StoreError>;

    /// Removes up to `limit` entries of before this time, oldest first, from one campaign of any tenant. Returns their
    /// number; 0: none is left.
    async fn remove_old_entries(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// An entry to be stored. Its `seq` follows the campaign's last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJournalEntry {
    /// Kind of call.
    pub kind: EntryKind,
    /// Time of the call.
    pub at: Timestamp,
    /// Name of the plugin; `None` for the server's own acts.
    pub plugin: Option<PluginName>,
    /// Revision of the plugin.
    pub revision: Option<Digest>,
    /// sha256 of the input.
    pub input_digest: Option<Digest>,
    /// Input as the sandbox recorded it.
    pub input: Record,
    /// Output as the sandbox recorded it.
    pub output: Record,
    /// Units of fuel consumed.
    pub fuel: u64,
    /// The most memory that the call had, in bytes; `None` for the server's own acts, and for entries of earlier versions.
    pub peak_memory: Option<u64>,
    /// The limits of the call; `None` for the server's own acts, and for entries of earlier versions.
    pub limits: Option<CallLimits>,
    /// Wall time.
    pub duration: Duration,
    /// The result, as one word.
    pub outcome: String,
    /// Explanation in sentences.
    pub explain: Vec<String>,
    /// The first log lines of the call.
    pub log: Vec<String>,
    /// Whether the result was applied.
    pub applied: bool,
}

/// What an entry records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "the names of the calls")]
pub enum EntryKind {
    Plan,
    Assign,
    Check,
    Evaluate,
    Decide,
    /// Only if it failed: the call that needs its answer is not made then.
    Wants,
    /// The server's own act, such as the failure ceiling or a hold.
    Host,
}

/// An entry as listed, without input and output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each field is the field of NewJournalEntry of that name"
)]
pub struct JournalEntry {
    /// Counts from 1 in each campaign.
    pub seq: i64,
    pub kind: EntryKind,
    pub at: Timestamp,
    pub plugin: Option<PluginName>,
    pub revision: Option<Digest>,
    pub input_digest: Option<Digest>,
    pub fuel: u64,
    pub peak_memory: Option<u64>,
    pub limits: Option<CallLimits>,
    pub duration: Duration,
    pub outcome: String,
    pub explain: Vec<String>,
    pub log: Vec<String>,
    pub applied: bool,
}

/// An entry with the recorded input and output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCall {
    /// The entry.
    pub entry: JournalEntry,
    /// Input as the sandbox recorded it.
    pub input: Vec<u8>,
    /// Output as the sandbox recorded it.
    pub output: Vec<u8>,
}
