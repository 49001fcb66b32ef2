use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use tidegate_core::{Named as _, id::Digest};
use tidegate_engine::{
    Ctx,
    campaigns::{self, JournalReplay, NotCompared, Replay},
    ports::JournalEntry,
};
use utoipa::{IntoParams, ToSchema};

use super::replay::{ReplayResult, parse_revision};
use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::{PathParams, parse_id},
        query::{Query, QueryParams, both, page},
    },
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct JournalReplayQuery {
    /// Only entries after this `seq`.
    after: Option<i64>,
    /// 1 to 500, 50 when left out.
    limit: Option<u32>,
    /// A revision of one of the campaign's plugins, with which its calls are repeated instead. Calls of other plugins are
    /// not.
    revision: Option<String>,
}

impl Query for JournalReplayQuery {
    /// The number of the entry before the first one, the maximum number of entries, and the revision.
    type Params = ((i64, u32), Option<Digest>);

    fn check(self) -> Result<Self::Params> {
        let (page, revision) = both(page(self.limit, None), parse_revision(self.revision))?;
        Ok(((self.after.unwrap_or(0), page.limit), revision))
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JournalReplay)]
pub(crate) struct JournalReplayBody {
    /// Number of entries.
    entries: u64,
    /// Number of entries whose replay is the same.
    same: u64,
    /// Number of entries whose answers were compared, but not their fuel: with another revision it is not, nor if the
    /// server counted fuel by other costs when it recorded the call.
    fuel_not_compared: u64,
    /// Number of entries that were repeated under today's limits, because an earlier version of the server did not record
    /// theirs.
    limits_not_recorded: u64,
    /// Entries whose replay differs, oldest first.
    different: Vec<DifferentEntry>,
    /// Entries that have no replay that can be compared, oldest first.
    not_compared: Vec<EntryNotCompared>,
    /// The value of `after` for the entries that follow. Null if none follow.
    next_after: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DifferentEntry)]
pub(crate) struct DifferentEntry {
    seq: i64,
    /// `plan`, `assign`, `check`, `evaluate`, `decide` or `wants`.
    kind: &'static str,
    plugin: String,
    /// The recorded revision.
    revision: Option<String>,
    /// What differs: `decision`, `fuel`.
    differs: Vec<&'static str>,
    replay: ReplayResult,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EntryNotCompared)]
pub(crate) struct EntryNotCompared {
    seq: i64,
    /// `plan`, `assign`, `check`, `evaluate`, `decide`, `wants` or `host`.
    kind: &'static str,
    /// `not_replayable`: the entry has no answer. `other_plugin`: `revision` is one of another plugin. `unknown_contract`:
    /// this server does not speak the contract of the call. `other_fuel_costs`: the call runs out of fuel by today's costs
    /// or by those of its record, but not by both. `unavailable`: the server cannot run the plugin now.
    code: &'static str,
    /// Why, and what to do.
    reason: String,
}

/// Repeats the plugin calls of a journal, oldest first, and reports those whose answer differs. No output has an effect.
/// Ends after some time, so that it may have fewer entries than `limit`: repeat it with `next_after` until that is null.
/// One part is replayed at a time for a tenant; others wait.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/journal/replay", tag = "campaigns",
    params(("campaign_id" = i64, Path), JournalReplayQuery),
    responses((status = 200, description = "The differences in a part of the journal.", body = JournalReplayBody)),
)]
pub(crate) async fn replay_journal(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
    QueryParams((part, revision)): QueryParams<JournalReplayQuery>,
) -> Result<Json<JournalReplayBody>> {
    let campaign = parse_id("campaign", &campaign)?;
    let (store, plugins) = (state.engine.store(), state.engine.plugins());
    let replay = campaigns::replay_journal(&ctx, store, plugins, campaign, part, revision);
    Ok(Json(JournalReplayBody::new(&replay.await?)?))
}

impl JournalReplayBody {
    fn new(replay: &JournalReplay) -> Result<Self> {
        let different = replay.different.iter();
        let not_compared = replay.not_compared.iter();
        Ok(Self {
            entries: replay.entries,
            same: replay.same(),
            fuel_not_compared: replay.fuel_not_compared,
            limits_not_recorded: replay.limits_not_recorded,
            different: different
                .map(|(entry, replay)| DifferentEntry::new(entry, replay))
                .collect::<Result<_>>()?,
            not_compared: not_compared
                .map(|(entry, reason)| EntryNotCompared::new(entry, reason))
                .collect(),
            next_after: replay.next_after,
        })
    }
}

impl DifferentEntry {
    fn new(entry: &JournalEntry, replay: &Replay) -> Result<Self> {
        let differs = [
            ("decision", !replay.same_answer),
            ("fuel", replay.has_other_fuel()),
        ];
        let differs = differs.into_iter().filter(|(_, differs)| *differs);
        let plugin = entry.plugin.as_ref().map(ToString::to_string);
        Ok(Self {
            seq: entry.seq,
            kind: entry.kind.as_str(),
            plugin: plugin.unwrap_or_default(),
            revision: entry.revision.map(|revision| revision.to_string()),
            differs: differs.map(|(name, _)| name).collect(),
            replay: ReplayResult::new(replay)?,
        })
    }
}

impl EntryNotCompared {
    fn new(entry: &JournalEntry, reason: &NotCompared) -> Self {
        Self {
            seq: entry.seq,
            kind: entry.kind.as_str(),
            code: reason.code(),
            reason: reason.to_string(),
        }
    }
}
