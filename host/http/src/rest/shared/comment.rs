use serde::Deserialize;
use tidegate_core::plugin::FieldError;
use utoipa::ToSchema;

use crate::{
    problem::{Problem, Result},
    rest::{
        from_json::{BodyPair, FromJson},
        rules::{BodyRules, RuleContext},
    },
};

/// Maximum length of a reason or comment.
const MAX_COMMENT_CHARS: usize = 1000;

/// The body of a command, in which the operator may give a reason.
pub(crate) type CommandBody<T> = BodyPair<T, Reason>;

/// The reason for a command.
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
    match comment_error(field, &text) {
        Some(error) => Err(Problem::invalid("invalid_reason", vec![error])),
        None => Ok(text),
    }
}

/// The error if the text of `field` is too long.
pub(crate) fn comment_error(field: &str, text: &str) -> Option<FieldError> {
    (text.chars().count() > MAX_COMMENT_CHARS).then(|| FieldError {
        path: field.to_owned(),
        message: format!("must have at most {MAX_COMMENT_CHARS} characters"),
    })
}

impl BodyRules for Reason {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        Ok(comment_error("/reason", &self.reason).into_iter().collect())
    }
}

impl<T: FromJson + Send> BodyRules for CommandBody<T> {
    async fn broken_rules(self, context: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let Self(_, reason) = self;
        reason.broken_rules(context).await
    }
}
