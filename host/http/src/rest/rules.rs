//! The rules of request bodies.

use std::future::Future;

use tidegate_core::plugin::FieldError;
use tidegate_engine::{Ctx, Engine};

use super::from_json::{FromJson, is_below};
use crate::problem::Result;

/// What a rule may read besides the body.
pub(crate) struct RuleContext<'a> {
    pub(crate) engine: &'a Engine,
    /// The context of the request; `None` for the few operations without authentication.
    pub(crate) ctx: Option<&'a Ctx>,
}

/// A request body with its rules, so that all errors of a body can be reported at once: fields that cannot be decoded,
/// unknown fields and broken rules.
pub(crate) trait BodyRules: FromJson + Send {
    /// The rules that the body breaks; fields are JSON pointers. It is called only if some fields could not be decoded.
    /// Those have placeholders, and errors that depend on them are discarded. The use case checks all other bodies.
    fn broken_rules(
        self,
        context: &RuleContext<'_>,
    ) -> impl Future<Output = Result<Vec<FieldError>>> + Send;

    /// The field that has the options of a body that has its options below a field.
    const OPTIONS_ROOT: &'static str = "";

    /// Other fields that the rules of a field read. Fields of the options are without [`Self::OPTIONS_ROOT`].
    fn also_reads(_field: &str) -> &'static [&'static str] {
        &[]
    }
}

/// A body without rules.
macro_rules! no_rules {
    ($body:ty) => {
        impl $crate::rest::rules::BodyRules for $body {
            async fn broken_rules(
                self,
                _: &$crate::rest::rules::RuleContext<'_>,
            ) -> $crate::problem::Result<Vec<tidegate_core::plugin::FieldError>> {
                Ok(Vec::new())
            }
        }
    };
}
pub(crate) use no_rules;

/// Removes the errors of rules that read an invalid field.
pub(super) fn discard_consequences<T: BodyRules>(
    rules: &mut Vec<FieldError>,
    invalid: &[FieldError],
) {
    let is_invalid = |field: &str| {
        invalid
            .iter()
            .any(|error| is_below(field, &error.path) || is_below(&error.path, field))
    };
    rules.retain(|rule| {
        let option = rule.path.strip_prefix(T::OPTIONS_ROOT);
        let mut fields = T::also_reads(option.unwrap_or(&rule.path)).iter();
        let is_read =
            |field: &str| is_invalid(field) || is_invalid(&format!("{}{field}", T::OPTIONS_ROOT));
        !is_invalid(&rule.path) && !fields.any(|field| is_read(field))
    });
}

/// Adds errors at fields that have none yet.
pub(super) fn add_errors(errors: &mut Vec<FieldError>, more: Vec<FieldError>) {
    let known: Vec<_> = errors.iter().map(|error| error.path.clone()).collect();
    let is_new = |error: &FieldError| !known.iter().any(|root| is_below(&error.path, root));
    errors.extend(more.into_iter().filter(is_new));
}
