use axum::{Json, extract::State};
use serde::Deserialize;
use tidegate_core::plugin::FieldError;
use tidegate_engine::{Approver, Authorized, campaigns};
use utoipa::ToSchema;

use super::body::{CampaignBody, detail};
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        extract::{PathParams, parse_id},
        json::OptionalJson,
        rules::{Body, RuleContext},
        shared::{check_comment, comment_error},
    },
};

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct ApprovalRequest {
    /// True when left out. False is an error: a campaign that is not approved stays as it is until it is cancelled.
    approved: Option<bool>,
    /// Free text, at most 1000 characters.
    #[serde(default)]
    approval_comment: String,
}

/// Approves a campaign. Its creator cannot approve it.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/approve", tag = "campaigns",
    params(("campaign_id" = i64, Path)), request_body = Option<ApprovalRequest>,
    responses((status = 200, body = CampaignBody)),
)]
pub(crate) async fn approve_campaign(
    ctx: Authorized<Approver>,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
    OptionalJson(request): OptionalJson<ApprovalRequest>,
) -> Result<Json<CampaignBody>> {
    let campaign = parse_id("campaign", &campaign)?;
    let comment = check_comment("/approval_comment", request.approval_comment)?;
    if let Some(error) = approved_error(request.approved) {
        return Err(Problem::invalid("invalid_approval", vec![error]));
    }
    let campaign = campaigns::approve(
        &ctx,
        state.engine.store(),
        state.engine.signals(),
        campaign,
        comment,
    )
    .await?;
    Ok(Json(detail(&ctx, &state.engine, campaign).await?))
}

/// The error if the campaign is not to be approved.
fn approved_error(approved: Option<bool>) -> Option<FieldError> {
    (approved == Some(false)).then(|| FieldError {
        path: "/approved".to_owned(),
        message: "must be true or left out; cancel the campaign to end it".to_owned(),
    })
}

impl Body for ApprovalRequest {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let comment = comment_error("/approval_comment", &self.approval_comment);
        Ok(comment
            .into_iter()
            .chain(approved_error(self.approved))
            .collect())
    }
}
