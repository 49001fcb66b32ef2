use serde::Deserialize;
use utoipa::ToSchema;

use crate::problem::{Problem, Result};

/// Longest reason, in characters.
const MAX_COMMENT_CHARS: usize = 1000;

/// Why an operator does it.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct Reason {
    /// For people, at most 1000 characters.
    #[serde(default)]
    reason: String,
}

impl Reason {
    /// The reason, if it is not too long.
    pub(crate) fn into_text(self) -> Result<String> {
        check_comment("/reason", self.reason)
    }
}

/// A text for people, if it is not too long.
pub(crate) fn check_comment(field: &str, text: String) -> Result<String> {
    if text.chars().count() > MAX_COMMENT_CHARS {
        let message = format!("must have at most {MAX_COMMENT_CHARS} characters");
        return Err(Problem::field("invalid_reason", field, message));
    }
    Ok(text)
}
