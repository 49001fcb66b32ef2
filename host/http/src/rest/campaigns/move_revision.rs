use serde::Deserialize;
use tidegate_core::{id::Digest, plugin::FieldError};
use tidegate_engine::{
    Admin, Authorized,
    campaigns::{self, RevisionMove},
};
use utoipa::ToSchema;

use axum::extract::State;

use super::etag::TaggedCampaign;
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

/// Moves a running, paused or held campaign to another revision of one of its plugins.
///
/// At most 500 entries of its journal, those after `replayed_until`, are replayed with the revision first. 409:
/// `not_replayed` if there are more, `replay_differs`, `other_state_schema`, `other_plugin` if the campaign does not use the
/// plugin. A campaign that is at the revision is not changed. A held campaign stays held.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/move", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = MoveRequest,
    responses((status = 200, description = "The moved campaign.", body = super::body::CampaignBody)),
)]
pub(crate) async fn move_campaign(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
    JsonBody(request): JsonBody<MoveRequest>,
) -> Result<TaggedCampaign> {
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
    let moved = campaigns::move_to_revision(&ctx, store, plugins, signals, id, request).await?;
    TaggedCampaign::stored(&ctx, engine, moved).await
}
