use tidegate_core::plugin::FieldError;

use crate::{Error, Result};

/// The rules that a request breaks, so that one error reports all of them. An equal error is reported once.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<FieldError>);

impl Rules {
    /// Adds an error if the rule does not hold.
    pub(crate) fn require(&mut self, holds: bool, path: &str, message: &str) {
        if !holds {
            self.reject(path, message);
        }
    }

    /// Adds an error.
    pub(crate) fn reject(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let (path, message) = (path.into(), message.into());
        self.extend([FieldError { path, message }]);
    }

    pub(crate) fn into_errors(self) -> Vec<FieldError> {
        self.0
    }

    /// Fails with all errors, if there are any.
    pub(crate) fn accept(self, code: &'static str) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Error::invalid_fields(code, self.0))
    }
}

impl Extend<FieldError> for Rules {
    fn extend<T: IntoIterator<Item = FieldError>>(&mut self, errors: T) {
        for error in errors {
            if !self.0.contains(&error) {
                self.0.push(error);
            }
        }
    }
}

impl FromIterator<FieldError> for Rules {
    fn from_iter<T: IntoIterator<Item = FieldError>>(errors: T) -> Self {
        let mut rules = Self::default();
        rules.extend(errors);
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broken_rule_is_reported_once_and_in_order() {
        let mut rules = Rules::default();
        rules.require(true, "a", "must be set");
        rules.require(false, "b", "must be set");
        rules.reject("a", "is unknown");
        rules.reject("b", "must be set");
        let error = rules.accept("invalid").expect_err("two rules are broken");
        let Error::Invalid { errors, .. } = error else {
            panic!("{error}");
        };
        let errors: Vec<_> = errors.iter().map(|it| (&*it.path, &*it.message)).collect();
        assert_eq!(errors, [("b", "must be set"), ("a", "is unknown")]);
    }

    #[test]
    fn a_request_that_breaks_no_rule_is_accepted() {
        assert!(Rules::default().accept("invalid").is_ok());
    }
}
