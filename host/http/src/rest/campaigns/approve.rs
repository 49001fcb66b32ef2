use axum::extract::State;
use http::HeaderMap;
use serde::Deserialize;
use tidegate_core::plugin::FieldError;
use tidegate_engine::{Approver, Authorized, campaigns};
use utoipa::ToSchema;

use super::{
    body::CampaignBody,
    etag::{TaggedCampaign, change_problem, required_generation},
};
use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::{PathParams, parse_id},
        json::OptionalJson,
        rules::{Body, RuleContext},
        shared::{check_comment, comment_error},
    },
};

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct ApprovalRequest {
    /// True when left out. False rejects the campaign: it ends as `cancelled`, and `explain` says who rejected it and why.
    approved: Option<bool>,
    /// Free text, at most 1000 characters.
    #[serde(default)]
    approval_comment: String,
}

/// Approves or rejects a campaign that waits for approval. Its creator and its last editor can do neither.
///
/// An approval is for the campaign as it was read: send its `ETag` in `If-Match`, or an edit since then is approved too.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/approve", tag = "campaigns",
    params(
        ("campaign_id" = i64, Path),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the campaign must have; otherwise 412."),
    ),
    request_body = Option<ApprovalRequest>,
    responses((
        status = 200, description = "The campaign after the decision.", body = CampaignBody,
        headers(("ETag" = String, description = "For `If-Match`. Every command and every decision changes it.")),
    )),
)]
pub(crate) async fn approve_campaign(
    ctx: Authorized<Approver>,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
    headers: HeaderMap,
    OptionalJson(request): OptionalJson<ApprovalRequest>,
) -> Result<TaggedCampaign> {
    let id = parse_id("campaign", &campaign)?;
    let comment = check_comment("/approval_comment", request.approval_comment)?;
    let (store, signals) = (state.engine.store(), state.engine.signals());
    let read = campaigns::get(&ctx, store, id).await?;
    let required = required_generation(&headers, &read)?;
    let decided = if request.approved == Some(false) {
        campaigns::reject(&ctx, store, signals, read, required, &comment).await
    } else {
        campaigns::approve(&ctx, store, signals, read, required, comment).await
    };
    let decided = decided.map_err(|error| change_problem(error, required))?;
    TaggedCampaign::stored(&ctx, &state.engine, decided).await
}

impl Body for ApprovalRequest {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let comment = comment_error("/approval_comment", &self.approval_comment);
        Ok(comment.into_iter().collect())
    }
}
