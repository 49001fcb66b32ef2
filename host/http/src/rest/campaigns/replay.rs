use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_core::id::{Digest, InvalidDigest};
use tidegate_engine::{
    Ctx, Error,
    campaigns::{self, Replay},
};
use utoipa::{IntoParams, ToSchema};

use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        extract::{PathParams, parse_id},
        query::{Query, QueryParams},
    },
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReplayQuery {
    /// Another revision of the same plugin to call instead.
    revision: Option<String>,
}

impl Query for ReplayQuery {
    type Params = Option<Digest>;

    fn check(self) -> Result<Option<Digest>> {
        parse_revision(self.revision)
    }
}

/// The digest of a revision in a query.
pub(super) fn parse_revision(revision: Option<String>) -> Result<Option<Digest>> {
    let revision = revision.map(|text| text.parse()).transpose();
    revision
        .map_err(|error: InvalidDigest| Problem::field("wrong_type", "revision", error.to_string()))
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Replayed)]
pub(crate) struct ReplayResult {
    /// Whether the output is identical, bit for bit, or both calls failed in the same way; and the fuel, if it is compared.
    same: bool,
    /// Whether the fuel is compared: not with another revision, nor if the server counted fuel by other costs when it
    /// recorded the call.
    fuel_compared: bool,
    /// Whether the call was repeated under the limits of fuel, memory and output that it was recorded with. False if an
    /// earlier version of the server recorded it: it is repeated under today's limits then.
    limits_recorded: bool,
    /// The output of the replay, or `failure` (its kind) and `message`.
    decision: Value,
    /// The recorded output, or `failure` and `message`.
    recorded: Value,
    /// Fuel used by the replay.
    fuel: u64,
    /// Recorded fuel.
    recorded_fuel: u64,
}

/// Repeats a recorded plugin call. The output has no effect. 409 if the entry has no answer to compare with; 503 if the
/// server cannot run the plugin now.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/journal/{seq}/replay", tag = "campaigns",
    params(("campaign_id" = i64, Path), ("seq" = i64, Path), ReplayQuery),
    responses((status = 200, description = "The recorded result beside the one of this call.", body = ReplayResult)),
)]
pub(crate) async fn replay_decision(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams((campaign, seq)): PathParams<(String, String)>,
    QueryParams(revision): QueryParams<ReplayQuery>,
) -> Result<Json<ReplayResult>> {
    let (campaign, seq) = (
        parse_id("campaign", &campaign)?,
        parse_id("journal entry", &seq)?,
    );
    let engine = &state.engine;
    let replay = campaigns::replay(
        &ctx,
        engine.store(),
        engine.plugins(),
        campaign,
        seq,
        revision,
    )
    .await?;
    Ok(Json(ReplayResult::new(&replay)?))
}

impl ReplayResult {
    pub(super) fn new(replay: &Replay) -> Result<Self> {
        Ok(Self {
            same: replay.is_same(),
            fuel_compared: replay.compares_fuel,
            limits_recorded: replay.has_recorded_limits,
            decision: json(&replay.decision)?,
            recorded: json(&replay.recorded)?,
            fuel: replay.fuel,
            recorded_fuel: replay.recorded_fuel,
        })
    }
}

fn json(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|error| Error::internal("parse plugin output", error))
}
