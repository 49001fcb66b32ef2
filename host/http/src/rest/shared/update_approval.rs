use serde::Serialize;
use tidegate_engine::ports::UpdateApproval;
use utoipa::ToSchema;

use crate::rest::response::Time;

/// The approval of an update, or of all updates of a bulk update, by another user than their creator.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpdateApproval)]
pub(crate) struct UpdateApprovalBody {
    /// The id of the first of the updates.
    approval_id: i32,
    /// The user who created the updates.
    requested_by: String,
    requested_at: Time,
    /// Null while there is no decision; false: rejected.
    approved: Option<bool>,
    /// The user who decided.
    decided_by: Option<String>,
    decided_at: Option<Time>,
    /// The comment of the user who decided; may be empty.
    comment: Option<String>,
}

impl From<UpdateApproval> for UpdateApprovalBody {
    fn from(approval: UpdateApproval) -> Self {
        let mut body = Self {
            approval_id: approval.id.0,
            requested_by: approval.requested_by,
            requested_at: approval.requested_at.into(),
            approved: None,
            decided_by: None,
            decided_at: None,
            comment: None,
        };
        if let Some(decision) = approval.decision {
            body.approved = Some(decision.is_approved);
            body.decided_by = Some(decision.by);
            body.decided_at = Some(decision.at.into());
            body.comment = Some(decision.comment);
        }
        body
    }
}
