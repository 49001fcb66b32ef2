use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use tidegate_core::plugin::FieldError;
use tidegate_engine::{Approver, Authorized, ports::ApprovalSummary, updates};
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::{PathParams, parse_id},
        json::OptionalJson,
        rules::{Body, RuleContext},
        shared::{UpdateApprovalBody, check_comment, comment_error},
    },
};

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct UpdateApprovalRequest {
    /// True when left out. False rejects the updates: they end as `cancelled`, with the error code `NOT_APPROVED`.
    approved: Option<bool>,
    /// Free text, at most 1000 characters.
    #[serde(default)]
    approval_comment: String,
}

/// A decision on an approval.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApprovalDecisionBody {
    #[serde(flatten)]
    approval: UpdateApprovalBody,
    /// The number of updates that were created together.
    updates: u64,
}

/// Approves or rejects an update that waits for approval, and all updates of the same bulk update. The id is that of one
/// of them, or the `approval_id`. Their creator can do neither.
#[utoipa::path(
    post, path = "/updates/{update_id}/approve", tag = "updates",
    params(("update_id" = i32, Path)), request_body = Option<UpdateApprovalRequest>,
    responses((status = 200, description = "The decision.", body = ApprovalDecisionBody)),
)]
pub(crate) async fn approve_update(
    ctx: Authorized<Approver>,
    State(state): State<AppState>,
    PathParams(update): PathParams<String>,
    OptionalJson(request): OptionalJson<UpdateApprovalRequest>,
) -> Result<Json<ApprovalDecisionBody>> {
    let update = parse_id("update", &update)?;
    let comment = check_comment("/approval_comment", request.approval_comment)?;
    let writer = state.engine.update_writer();
    let decided = if request.approved == Some(false) {
        updates::reject(&ctx, writer, update, &comment).await?
    } else {
        updates::approve(&ctx, writer, update, &comment).await?
    };
    Ok(Json(decided.into()))
}

impl From<ApprovalSummary> for ApprovalDecisionBody {
    fn from(summary: ApprovalSummary) -> Self {
        Self {
            approval: summary.approval.into(),
            updates: summary.updates,
        }
    }
}

impl Body for UpdateApprovalRequest {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let comment = comment_error("/approval_comment", &self.approval_comment);
        Ok(comment.into_iter().collect())
    }
}
