use serde::{Deserialize, Serialize};
use tidegate_core::plugin::FieldError;
use tidegate_engine::ports::UpdateApproval;
use utoipa::ToSchema;

use super::comment::{check_comment, comment_error};
use crate::{
    problem::Result,
    rest::{
        response::Time,
        rules::{BodyRules, RuleContext},
    },
};

/// A decision on a campaign or on updates that wait for approval.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct ApprovalRequest {
    /// True when left out. False rejects: the campaign ends as `cancelled`, and `explain` says who rejected it and why;
    /// updates end as `cancelled` with the error code `NOT_APPROVED`.
    approved: Option<bool>,
    /// Free text, at most 1000 characters.
    #[serde(default)]
    approval_comment: String,
}

impl ApprovalRequest {
    /// Whether it approves, with the comment; 422 if the comment is too long.
    pub(crate) fn into_decision(self) -> Result<(bool, String)> {
        let comment = check_comment("/approval_comment", self.approval_comment)?;
        Ok((self.approved != Some(false), comment))
    }
}

impl BodyRules for ApprovalRequest {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let comment = comment_error("/approval_comment", &self.approval_comment);
        Ok(comment.into_iter().collect())
    }
}

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
