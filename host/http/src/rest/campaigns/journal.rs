use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use tidegate_core::Named as _;
use tidegate_engine::{
    Ctx, campaigns,
    ports::{CallLimits, JournalEntry, PageRequest},
};
use utoipa::{IntoParams, ToSchema};

use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::{PathParams, parse_id},
        query::{Query, QueryParams, page},
        response::{List, Time},
    },
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct JournalQuery {
    /// Only entries after this `seq`.
    after: Option<i64>,
    /// 1 to 500, 50 when left out.
    limit: Option<u32>,
    offset: Option<u64>,
}

impl Query for JournalQuery {
    /// The number of the entry before the first one, and the page.
    type Params = (i64, PageRequest);

    fn check(self) -> Result<Self::Params> {
        Ok((self.after.unwrap_or(0), page(self.limit, self.offset)?))
    }
}

/// A call of a plugin, or an action of the server itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JournalEntry)]
pub(crate) struct EntryBody {
    /// Numbered from 1 in each campaign.
    pub(super) seq: i64,
    at: Time,
    /// `plan`, `assign`, `check`, `evaluate`, `decide` or `host`; `wants` if it failed, so that another call was not made.
    kind: &'static str,
    /// Empty for actions of the server itself.
    plugin: String,
    revision: Option<String>,
    observation_digest: Option<String>,
    fuel: u64,
    /// The most memory that the call had, in bytes. Null for actions of the server itself, and in entries of earlier
    /// versions.
    peak_memory: Option<u64>,
    /// The limits of the call, under which it is replayed. Null for actions of the server itself, and in entries of earlier
    /// versions.
    limits: Option<LimitsBody>,
    duration_us: u64,
    /// The result, as one word.
    outcome: String,
    explain: Vec<String>,
    /// The first log lines of the plugin, 4 KiB at most.
    log: Vec<String>,
    /// Whether the result was applied. False for the calls of a start that failed.
    applied: bool,
}

/// Limits of a call that can change its answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallLimits)]
pub(crate) struct LimitsBody {
    /// Units of fuel.
    fuel: u64,
    /// The version of the costs by which the server counted fuel. A replay compares the fuel if it counts by the same.
    fuel_costs: u32,
    /// Memory in bytes.
    memory_bytes: u64,
    /// Size of the output in bytes.
    answer_bytes: u64,
}

impl From<CallLimits> for LimitsBody {
    fn from(limits: CallLimits) -> Self {
        Self {
            fuel: limits.fuel,
            fuel_costs: limits.fuel_costs,
            memory_bytes: limits.memory_bytes,
            answer_bytes: limits.answer_bytes,
        }
    }
}

/// Lists a campaign's journal, oldest first.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/journal", tag = "campaigns",
    params(("campaign_id" = i64, Path), JournalQuery),
    responses((status = 200, description = "A page of the journal, oldest first.", body = List<EntryBody>)),
)]
pub(crate) async fn list_journal(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
    QueryParams((after, page)): QueryParams<JournalQuery>,
) -> Result<Json<List<EntryBody>>> {
    let campaign = parse_id("campaign", &campaign)?;
    let found = campaigns::journal(&ctx, state.engine.store(), campaign, after, page).await?;
    let items = found.items.into_iter().map(EntryBody::from).collect();
    Ok(Json(List::new(items, found.total, page)))
}

impl From<JournalEntry> for EntryBody {
    fn from(entry: JournalEntry) -> Self {
        Self {
            seq: entry.seq,
            at: entry.at.into(),
            kind: entry.kind.as_str(),
            plugin: entry
                .plugin
                .map(|plugin| plugin.to_string())
                .unwrap_or_default(),
            revision: entry.revision.map(|revision| revision.to_string()),
            observation_digest: entry.input_digest.map(|digest| digest.to_string()),
            fuel: entry.fuel,
            peak_memory: entry.peak_memory,
            limits: entry.limits.map(LimitsBody::from),
            duration_us: u64::try_from(entry.duration.as_micros()).unwrap_or(u64::MAX),
            outcome: entry.outcome,
            explain: entry.explain,
            log: entry.log,
            applied: entry.applied,
        }
    }
}
