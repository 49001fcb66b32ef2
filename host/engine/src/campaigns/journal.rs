use tidegate_core::{
    Named as _,
    id::{CampaignId, Digest},
    plugin::PluginName,
};

use super::get;
use crate::{
    Ctx, Error, PluginCalls, Result,
    ports::{
        CallFailure, CallFailureClass, EntryKind, JournalEntry, Page, PageRequest, RecordedCall,
        Revision, Store,
    },
};

/// A page of a campaign's journal, oldest first, after the entry with sequence number `after`.
pub async fn journal(
    ctx: &Ctx,
    store: &dyn Store,
    id: CampaignId,
    after: i64,
    page: PageRequest,
) -> Result<Page<JournalEntry>> {
    get(ctx, store, id).await?;
    Ok(store.journal(ctx.tenant, id, after, page).await?)
}

/// Result of replaying a recorded call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Whether the output is identical, and the fuel if it is compared.
    pub same: bool,
    /// Whether the fuel is compared: not with another revision, nor if the server counted it by other costs then.
    pub compares_fuel: bool,
    /// The new output, or the class and text of the failure, as JSON.
    pub decision: String,
    /// The recorded output, or the class of the recorded failure, as JSON.
    pub recorded: String,
    /// Units of fuel consumed now.
    pub fuel: u64,
    /// Units of fuel consumed originally.
    pub recorded_fuel: u64,
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
    get(ctx, store, id).await?;
    let recorded_call = store.recorded_call(ctx.tenant, id, seq).await?;
    let recorded_call = recorded_call.ok_or_else(|| Error::not_found("journal entry", seq))?;
    let (plugin, recorded_revision) = replayable(&recorded_call)?;
    let asked = revision.unwrap_or(recorded_revision);
    if let Some(recorded) = store
        .revision(ctx.tenant, plugin, recorded_revision)
        .await?
    {
        plugins.require_contract(&recorded.stored)?;
    }
    if asked != recorded_revision {
        let asked = revision_of_plugin(ctx, store, plugin, asked).await?;
        plugins.require_contract(&asked.stored)?;
    }
    let input = &recorded_call.input;
    let call = plugins.replay(ctx.tenant, plugin, asked, input).await;
    let failure = call.outcome.as_ref().err();
    let decision = output_json(plugins, &call.record.output, failure)?;
    let recorded = output_json(plugins, &recorded_call.output, None)?;
    // Compares the decoded outputs: another version of the compression would change the bytes.
    let same_answer = match failure {
        None => !recorded_call.output.is_empty() && decision == recorded,
        Some(failure) => {
            recorded_call.output.is_empty() && failure.as_str() == recorded_call.entry.outcome
        }
    };
    let entry = &recorded_call.entry;
    let compares_fuel = asked == recorded_revision && call.record.fuel_costs == entry.fuel_costs;
    Ok(Replay {
        same: same_answer && (!compares_fuel || call.fuel == entry.fuel),
        compares_fuel,
        decision,
        recorded,
        fuel: call.fuel,
        recorded_fuel: entry.fuel,
    })
}

/// The plugin and the revision of a call that can be replayed.
fn replayable(recorded_call: &RecordedCall) -> Result<(&PluginName, Digest)> {
    let entry = &recorded_call.entry;
    let message = match (entry.kind, &entry.plugin, entry.revision) {
        (EntryKind::Assign, ..) => {
            "an assignment is recorded only as digests of its columns: it cannot be replayed"
        }
        _ if is_nondeterministic(&entry.outcome) => {
            "a call that missed its deadline, or that the server could not run, has no decision: it cannot be replayed"
        }
        (_, Some(plugin), Some(revision)) => return Ok((plugin, revision)),
        _ => "an action of the server is not a plugin call: it cannot be replayed",
    };
    Err(Error::conflict("not_replayable", message))
}

/// Whether the outcome of a recorded call is a failure that a repeated call might not have.
fn is_nondeterministic(outcome: &str) -> bool {
    let class = outcome.parse::<CallFailureClass>();
    class.is_ok_and(|class| !class.is_deterministic())
}

async fn revision_of_plugin(
    ctx: &Ctx,
    store: &dyn Store,
    plugin: &PluginName,
    asked: Digest,
) -> Result<Revision> {
    if let Some(found) = store.revision(ctx.tenant, plugin, asked).await? {
        return Ok(found);
    }
    let all = store.revisions(ctx.tenant).await?;
    let other = all.iter().find(|other| other.stored.digest == asked);
    let Some(other) = other else {
        return Err(Error::not_found("plugin revision", asked));
    };
    let message = format!(
        "the revision {asked} belongs to the plugin {}, and this entry to {plugin}",
        other.stored.description.name
    );
    Err(Error::conflict("other_plugin", message))
}

fn output_json(
    plugins: &PluginCalls,
    record: &[u8],
    failure: Option<&CallFailure>,
) -> Result<String> {
    match failure {
        Some(failure) => Ok(failure_json(failure.as_str(), &failure.to_string())),
        None if record.is_empty() => Ok("null".to_owned()),
        None => plugins.record_json(record),
    }
}

fn failure_json(class: &str, message: &str) -> String {
    serde_json::json!({ "failure": class, "message": message }).to_string()
}
