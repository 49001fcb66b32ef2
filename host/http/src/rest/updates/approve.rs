use axum::{Json, extract::State};
use serde::Serialize;
use tidegate_engine::{Approver, Authorized, ports::ApprovalSummary, updates};
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::{PathParams, parse_id},
        json::OptionalJson,
        shared::{ApprovalRequest, UpdateApprovalBody},
    },
};

/// A decision on an approval.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApprovalDecision)]
pub(crate) struct ApprovalDecisionBody {
    #[serde(flatten)]
    approval: UpdateApprovalBody,
    /// The number of updates that were created together.
    updates: u64,
}

/// Approves or rejects an update that waits for approval, and all updates of the same bulk update. The id is that of one
/// of them, or the `approval_id`. Users who requested them, or updates that they retry, can do neither.
#[utoipa::path(
    post, path = "/updates/{update_id}/approve", tag = "updates",
    params(("update_id" = i32, Path)), request_body = Option<ApprovalRequest>,
    responses((status = 200, description = "The decision.", body = ApprovalDecisionBody)),
)]
pub(crate) async fn approve_update(
    ctx: Authorized<Approver>,
    State(state): State<AppState>,
    PathParams(update): PathParams<String>,
    OptionalJson(request): OptionalJson<ApprovalRequest>,
) -> Result<Json<ApprovalDecisionBody>> {
    let update = parse_id("update", &update)?;
    let (is_approved, comment) = request.into_decision()?;
    let writer = state.engine.update_writer();
    let decided = if is_approved {
        updates::approve(&ctx, writer, update, &comment).await?
    } else {
        updates::reject(&ctx, writer, update, &comment).await?
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
