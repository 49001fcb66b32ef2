use serde::{Deserialize, Serialize};
use tidegate_core::{id::Digest, plugin::FieldError};
use tidegate_engine::{
    Admin, Authorized,
    campaigns::{self, MovedCampaign, ReplayCounts, RevisionMove},
};
use utoipa::ToSchema;

use axum::extract::State;

use super::{body::CampaignBody, etag::TaggedCampaign};
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        extract::{PathParams, parse_id},
        json::JsonBody,
        rules::{BodyRules, RuleContext},
    },
};

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct MoveRequest {
    /// The revision, `sha256:...`, of a plugin that the campaign uses.
    revision: String,
    /// The `seq` up to which the journal was replayed with the revision: the last `next_after` of
    /// `POST .../journal/replay`.
    #[serde(default)]
    replayed_until: i64,
    /// Move the campaign although a replay differs.
    #[serde(default)]
    accept_differences: bool,
    /// Let the plugin begin with an empty state. Required if the revisions have different schemas of the state.
    #[serde(default)]
    discard_state: bool,
}

impl MoveRequest {
    fn revision(&self) -> Result<Digest, FieldError> {
        self.revision
            .parse()
            .map_err(|error: <Digest as std::str::FromStr>::Err| FieldError {
                path: "/revision".to_owned(),
                message: error.to_string(),
            })
    }
}

impl BodyRules for MoveRequest {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        Ok(self.revision().err().into_iter().collect())
    }
}

/// A campaign with what the replay before its move showed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MovedCampaign)]
pub(crate) struct MovedCampaignBody {
    #[serde(flatten)]
    campaign: CampaignBody,
    /// `null`: the campaign was at the revision already, and nothing was replayed.
    replay: Option<ReplayCountsBody>,
}

/// Numbers of journal entries by what their replay showed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReplayCounts)]
pub(crate) struct ReplayCountsBody {
    /// Number of entries that the move itself replayed, those after `replayed_until`.
    entries: u64,
    /// Number of entries whose answer is the same.
    same: u64,
    /// Number of entries whose answer differs.
    different: u64,
    /// Number of entries whose answers were compared, but not their fuel: with another revision it is not, nor if the
    /// server counted fuel by other costs when it recorded the call.
    fuel_not_compared: u64,
    /// Number of entries that were repeated under today's limits, because an earlier version of the server did not record
    /// theirs.
    limits_not_recorded: u64,
    /// How many of the entries have no replay that can be compared, by the reason.
    not_compared: Vec<NotComparedCount>,
    /// The entries up to this `seq` were removed because they were old, so that they were not replayed. Null if none
    /// was removed.
    removed_until: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotComparedCount)]
pub(crate) struct NotComparedCount {
    /// Number of entries.
    entries: u64,
    /// As `code` of `not_compared` in `POST .../journal/replay`.
    code: &'static str,
    /// Why, and what to do.
    reason: String,
}

impl From<ReplayCounts> for ReplayCountsBody {
    fn from(counts: ReplayCounts) -> Self {
        let not_compared = counts.not_compared.into_iter();
        Self {
            entries: counts.entries,
            same: counts.same,
            different: counts.different,
            fuel_not_compared: counts.fuel_not_compared,
            limits_not_recorded: counts.limits_not_recorded,
            not_compared: not_compared
                .map(|(reason, entries)| NotComparedCount {
                    entries,
                    code: reason.code(),
                    reason: reason.to_string(),
                })
                .collect(),
            removed_until: (counts.removed_until > 0).then_some(counts.removed_until),
        }
    }
}

/// Moves a running, paused or held campaign to another revision of one of its plugins.
///
/// At most 500 entries of its journal, those after `replayed_until`, are replayed with the revision first. 409:
/// `not_replayed` if there are more, `replay_differs`, `other_state_schema`, `other_plugin` if the campaign does not use the
/// plugin. A campaign that is at the revision is not changed. A held campaign stays held.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/move", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = MoveRequest,
    responses((
        status = 200, description = "The moved campaign, and what the replay showed.", body = MovedCampaignBody,
        headers(("ETag" = String, description = "For `If-Match`. Every command and every decision changes it.")),
    )),
)]
pub(crate) async fn move_campaign(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
    JsonBody(request): JsonBody<MoveRequest>,
) -> Result<TaggedCampaign<MovedCampaignBody>> {
    let id = parse_id("campaign", &campaign)?;
    let revision = request.revision();
    let request = RevisionMove {
        revision: revision.map_err(|error| Problem::invalid("wrong_type", vec![error]))?,
        replayed_until: request.replayed_until,
        accepts_differences: request.accept_differences,
        discards_state: request.discard_state,
    };
    let engine = &state.engine;
    let (store, plugins, signals) = (engine.store(), engine.plugins(), engine.signals());
    let moved = campaigns::move_to_revision(&ctx, store, plugins, signals, id, request);
    let MovedCampaign { campaign, replay } = moved.await?;
    let tagged = TaggedCampaign::stored(&ctx, engine, campaign).await?;
    Ok(tagged.with(|campaign| MovedCampaignBody {
        campaign,
        replay: replay.map(Into::into),
    }))
}
