//! The four-eyes principle: a decision on an approval needs another user than the one who asks for it.

use tidegate_core::user_name::is_same_user;

use crate::{Ctx, Error, Result};

/// What an approval is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ApprovalSubject {
    Campaign,
    Update,
}

impl ApprovalSubject {
    /// An error if the actor, who approves or rejects, is one of these authors.
    pub(crate) fn check_other_user<'a>(
        self,
        ctx: &Ctx,
        authors: impl IntoIterator<Item = &'a str>,
    ) -> Result<()> {
        let actor = &*ctx.actor.name;
        if !authors
            .into_iter()
            .any(|author| is_same_user(author, actor))
        {
            return Ok(());
        }
        let (code, message) = match self {
            Self::Campaign => (
                "own_campaign",
                "a campaign must be approved or rejected by another user than its creator and its editors",
            ),
            Self::Update => (
                "own_update",
                "an update must be approved or rejected by another user than its creator and those of the updates that it retries",
            ),
        };
        Err(Error::Forbidden {
            code,
            message: message.to_owned(),
        })
    }

    /// The error if there is nothing to decide.
    pub(crate) fn not_waiting(self) -> Error {
        let message = match self {
            Self::Campaign => "the campaign does not wait for approval",
            Self::Update => "the update does not wait for approval",
        };
        Error::conflict("not_waiting", message)
    }
}
