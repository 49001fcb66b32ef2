use serde::Deserialize;
use utoipa::ToSchema;

use crate::problem::{Problem, Result};

/// Maximum length of a reason or comment.
const MAX_COMMENT_CHARS: usize = 1000;

/// Why an operator gives a command.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct Reason {
    /// Free text, at most 1000 characters.
    #[serde(default)]
    reason: String,
}

impl Reason {
    /// The reason, or 422 if it is too long.
    pub(crate) fn into_text(self) -> Result<String> {
        check_comment("/reason", self.reason)
    }
}

/// The text, or 422 for `field` if it is too long.
pub(crate) fn check_comment(field: &str, text: String) -> Result<String> {
    if text.chars().count() > MAX_COMMENT_CHARS {
        let message = format!("must have at most {MAX_COMMENT_CHARS} characters");
        return Err(Problem::field("invalid_reason", field, message));
    }
    Ok(text)
}
