use std::collections::HashMap;

use tidegate_core::{
    Named as _,
    id::{CampaignId, Digest},
    plugin::PluginName,
};

use super::get;
use crate::{
    Ctx, Error, PluginCalls, Result,
    plugins::revision_by_digest,
    ports::{
        Call, CallFailure, CallFailureClass, CallLimits, JournalEntry, RecordedCall, Revision,
        Store,
    },
};

/// A recorded call and its repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Whether the answers are identical: the outputs, or the classes of the failures if there is no output.
    pub same_answer: bool,
    /// Whether the fuel is compared: not with another revision, nor if the server counted it by other costs then.
    pub compares_fuel: bool,
    /// Whether the call was repeated under the limits with which it was recorded. Entries of earlier versions have none:
    /// their calls are repeated under today's.
    pub has_recorded_limits: bool,
    /// The new output, or the class and text of the failure, as JSON.
    pub decision: String,
    /// The recorded output, or the class and text of the recorded failure, as JSON.
    pub recorded: String,
    /// Units of fuel consumed now.
    pub fuel: u64,
    /// Units of fuel consumed originally.
    pub recorded_fuel: u64,
}

impl Replay {
    /// Whether the fuel differs, if it is compared.
    pub fn has_other_fuel(&self) -> bool {
        self.compares_fuel && self.fuel != self.recorded_fuel
    }

    /// Whether nothing that is compared differs.
    pub fn is_same(&self) -> bool {
        self.same_answer && !self.has_other_fuel()
    }
}

/// Why an entry has no replay that can be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NotCompared {
    /// The entry is an act of the server.
    #[error("an action of the server is not a plugin call: it cannot be replayed")]
    ServerAction,
    /// A repeated call might not fail in the same way.
    #[error(
        "a call that missed its deadline, or that the server could not run, has no decision: it cannot be replayed"
    )]
    NoAnswer,
    /// The call failed before its input was complete.
    #[error(
        "the plugin was not called, so that no input is recorded: it cannot be replayed. The entry's `explain` says why; correct \
         that, and replay the next call"
    )]
    NoInput,
    /// The record is incomplete or damaged.
    #[error("{0}: it cannot be replayed")]
    InvalidRecord(String),
    /// The server does not speak the version of the contract by which the call was recorded.
    #[error("{0}")]
    UnknownContract(String),
    /// The revision to replay with is one of another plugin.
    #[error("{0}")]
    OtherPlugin(String),
    /// The fuel costs of today and those of the record do not agree on whether the call runs out of fuel.
    #[error(
        "the server counted fuel by other costs then, and the call runs out of fuel by only one of them: it cannot be compared. If \
         that is by today's, a server with higher limits of fuel (`sandbox.fuel`, `sandbox.planning_fuel`) can replay it"
    )]
    OtherFuelCosts,
    /// The server cannot run the plugin now.
    #[error("{0}")]
    Unavailable(String),
}

impl NotCompared {
    /// Stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ServerAction | Self::NoAnswer | Self::NoInput | Self::InvalidRecord(_) => {
                "not_replayable"
            }
            Self::UnknownContract(_) => "unknown_contract",
            Self::OtherPlugin(_) => "other_plugin",
            Self::OtherFuelCosts => "other_fuel_costs",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl From<NotCompared> for Error {
    fn from(reason: NotCompared) -> Self {
        let message = reason.to_string();
        match reason {
            NotCompared::Unavailable(_) => Self::unavailable(message),
            _ => Self::conflict(reason.code(), message),
        }
    }
}

/// Repeats a recorded call with the original revision or another one. The output is not applied.
pub async fn replay(
    ctx: &Ctx,
    store: &dyn Store,
    plugins: &PluginCalls,
    id: CampaignId,
    seq: i64,
    revision: Option<Digest>,
) -> Result<Replay> {
    let recorded = recorded_call(ctx, store, id, seq).await?;
    let mut replayer = Replayer::new(ctx, store, plugins, revision).await?;
    Ok(replayer.replay(&recorded).await??)
}

/// An entry of a campaign's journal with its input and output.
pub(super) async fn recorded_call(
    ctx: &Ctx,
    store: &dyn Store,
    id: CampaignId,
    seq: i64,
) -> Result<RecordedCall> {
    get(ctx, store, id).await?;
    let recorded = store.recorded_call(ctx.tenant, id, seq).await?;
    match recorded {
        Some(recorded) => Ok(recorded),
        None => Err(no_entry(ctx, store, id, seq).await?),
    }
}

/// Why there is no entry of this number.
async fn no_entry(ctx: &Ctx, store: &dyn Store, id: CampaignId, seq: i64) -> Result<Error> {
    let removed = store.last_removed_entry(ctx.tenant, id).await?;
    if !(1..=removed).contains(&seq) {
        return Ok(Error::not_found("journal entry", seq));
    }
    let why = format_args!(
        "{seq} any more: the entries up to {removed} are older than the server's setting `journal.retention_days`, and were \
         removed"
    );
    Ok(Error::not_found("journal entry", why))
}

/// Repeats recorded calls of a tenant, all with their original revisions or all with another one.
pub(super) struct Replayer<'a> {
    ctx: &'a Ctx,
    store: &'a dyn Store,
    plugins: &'a PluginCalls,
    /// The other revision.
    asked: Option<Revision>,
    /// By recorded revision: why the server does not speak its contract, if so.
    unknown_contracts: HashMap<Digest, Option<String>>,
}

impl<'a> Replayer<'a> {
    pub(super) async fn new(
        ctx: &'a Ctx,
        store: &'a dyn Store,
        plugins: &'a PluginCalls,
        revision: Option<Digest>,
    ) -> Result<Self> {
        let asked = match revision {
            Some(digest) => Some(revision_by_digest(store, ctx.tenant, digest).await?),
            None => None,
        };
        if let Some(asked) = &asked {
            plugins.require_contract(&asked.stored, "Use a revision that was built for it.")?;
        }
        Ok(Self {
            ctx,
            store,
            plugins,
            asked,
            unknown_contracts: HashMap::new(),
        })
    }

    /// Repeats a call, and compares it with its record.
    pub(super) async fn replay(
        &mut self,
        recorded: &RecordedCall,
    ) -> Result<std::result::Result<Replay, NotCompared>> {
        let entry = &recorded.entry;
        let (plugin, recorded_revision) = match replayable(recorded) {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        if let Some(reason) = self.other_plugin(plugin) {
            return Ok(Err(reason));
        }
        if let Some(reason) = self.unknown_contract(plugin, recorded_revision).await? {
            return Ok(Err(NotCompared::UnknownContract(reason)));
        }
        let asked = self.asked.as_ref().map(|asked| asked.stored.digest);
        let revision = asked.unwrap_or(recorded_revision);
        let (tenant, input, limits) = (self.ctx.tenant, &recorded.input, entry.limits);
        let call = self.plugins.replay(tenant, plugin, revision, input, limits);
        let call = call.await;
        if let Some(reason) = not_repeated(&call, entry) {
            return Ok(Err(reason));
        }
        let costs = |limits: Option<CallLimits>| limits.map(|limits| limits.fuel_costs);
        let has_same_costs = costs(call.record.limits) == costs(limits);
        // Of another revision the answer under today's costs and limits is of interest.
        if revision == recorded_revision && !has_same_costs && ran_out_of_fuel_once(&call, entry) {
            return Ok(Err(NotCompared::OtherFuelCosts));
        }
        let decision = self.answer(&call)?;
        let recorded_answer = self.recorded_answer(recorded)?;
        Ok(Ok(Replay {
            same_answer: decision.is_same(&recorded_answer),
            compares_fuel: revision == recorded_revision && has_same_costs,
            has_recorded_limits: limits.is_some(),
            decision: decision.into_json(),
            recorded: recorded_answer.into_json(),
            fuel: call.fuel,
            recorded_fuel: entry.fuel,
        }))
    }

    fn other_plugin(&self, recorded: &PluginName) -> Option<NotCompared> {
        let asked = &self.asked.as_ref()?.stored;
        let (revision, plugin) = (asked.digest, &asked.description.name);
        (plugin != recorded).then(|| {
            NotCompared::OtherPlugin(format!(
                "the revision {revision} belongs to the plugin {plugin}, and this entry to {recorded}"
            ))
        })
    }

    /// Why the server does not speak the contract of a recorded revision, if so. A record has the types of its contract.
    async fn unknown_contract(
        &mut self,
        plugin: &PluginName,
        revision: Digest,
    ) -> Result<Option<String>> {
        if let Some(known) = self.unknown_contracts.get(&revision) {
            return Ok(known.clone());
        }
        let (tenant, plugins) = (self.ctx.tenant, self.plugins);
        let found = self.store.revision(tenant, plugin, revision).await?;
        let reason = found.and_then(|found| plugins.unknown_contract(&found.stored));
        self.unknown_contracts.insert(revision, reason.clone());
        Ok(reason)
    }

    fn answer(&self, call: &Call<()>) -> Result<Answer> {
        match &call.outcome {
            Err(failure) if call.record.output.is_empty() => {
                Ok(Answer::failure(failure.as_str(), failure.to_string()))
            }
            _ => self.output(&call.record.output),
        }
    }

    fn recorded_answer(&self, recorded: &RecordedCall) -> Result<Answer> {
        if recorded.output.is_empty() {
            let entry = &recorded.entry;
            // The explanation of a failure begins with its text.
            let text = entry.explain.first().cloned().unwrap_or_default();
            return Ok(Answer::failure(&entry.outcome, text));
        }
        self.output(&recorded.output)
    }

    /// Decoded, because another version of the compression would change the bytes.
    fn output(&self, record: &[u8]) -> Result<Answer> {
        Ok(Answer::Output(self.plugins.record_json(record)?))
    }
}

/// What a call came to. An output that the server refused, or with which the plugin reported an error, is an output.
enum Answer {
    Output(String),
    Failure { class: String, text: String },
}

impl Answer {
    fn failure(class: &str, text: String) -> Self {
        let class = class.to_owned();
        Self::Failure { class, text }
    }

    /// The text of a failure may change with the version of the server: its class is compared.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Output(output), Self::Output(other)) => output == other,
            (Self::Failure { class, .. }, Self::Failure { class: other, .. }) => class == other,
            _ => false,
        }
    }

    fn into_json(self) -> String {
        match self {
            Self::Output(json) => json,
            Self::Failure { class, text } => {
                serde_json::json!({ "failure": class, "message": text }).to_string()
            }
        }
    }
}

/// The plugin and the revision of a call that can be replayed.
fn replayable(recorded: &RecordedCall) -> std::result::Result<(&PluginName, Digest), NotCompared> {
    let entry = &recorded.entry;
    let (Some(plugin), Some(revision)) = (&entry.plugin, entry.revision) else {
        return Err(NotCompared::ServerAction);
    };
    if recorded_failure(entry).is_some_and(|class| !class.is_deterministic()) {
        return Err(NotCompared::NoAnswer);
    }
    if recorded.input.is_empty() {
        return Err(NotCompared::NoInput);
    }
    Ok((plugin, revision))
}

/// The class of a recorded failure.
pub(super) fn recorded_failure(entry: &JournalEntry) -> Option<CallFailureClass> {
    entry.outcome.parse().ok()
}

/// Whether either the recorded call or its repetition ran out of fuel, but not both.
fn ran_out_of_fuel_once(call: &Call<()>, entry: &JournalEntry) -> bool {
    let repeated = matches!(call.outcome, Err(CallFailure::OutOfFuel(_)));
    repeated != (recorded_failure(entry) == Some(CallFailureClass::OutOfFuel))
}

/// Why a repeated call has no answer, if the server is the reason.
fn not_repeated(call: &Call<()>, entry: &JournalEntry) -> Option<NotCompared> {
    match call.outcome.as_ref().err()? {
        failure @ CallFailure::Deadline(_) => Some(NotCompared::Unavailable(format!(
            "{failure}, and the recorded call took {:?}: the server is busy, so retry later",
            entry.duration
        ))),
        failure @ CallFailure::Host(_) => {
            Some(NotCompared::Unavailable(format!("{failure}; retry later")))
        }
        failure @ CallFailure::InvalidRecord(_) => {
            Some(NotCompared::InvalidRecord(failure.to_string()))
        }
        _ => None,
    }
}
