use axum::extract::State;
use http::HeaderMap;
use tidegate_engine::{Approver, Authorized, campaigns};

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
        shared::ApprovalRequest,
    },
};

/// Approves or rejects a campaign that waits for approval. Its creator and its editors can do neither.
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
    let (is_approved, comment) = request.into_decision()?;
    let (store, signals) = (state.engine.store(), state.engine.signals());
    let read = campaigns::get(&ctx, store, id).await?;
    let required = required_generation(&headers, &read)?;
    let decided = if is_approved {
        campaigns::approve(&ctx, store, signals, read, required, comment).await
    } else {
        campaigns::reject(&ctx, store, signals, read, required, &comment).await
    };
    let decided = decided.map_err(|error| change_problem(error, required))?;
    TaggedCampaign::stored(&ctx, &state.engine, decided).await
}
