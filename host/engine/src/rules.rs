use tidegate_core::{
    plugin::FieldError,
    visible_text::{is_harmful, visible},
};

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

    /// Adds an error if a device id has a character that acts where it is shown. Ids are not refused for other reasons:
    /// earlier versions registered devices under ids that a new device cannot have.
    pub(crate) fn require_harmless_ids(&mut self, path: &str, device_ids: &[String]) {
        if let Some(id) = device_ids.iter().find(|id| id.contains(is_harmful)) {
            let message = format!(
                "must have no control or bidirectional characters, as `{}` has",
                visible(id)
            );
            self.reject(path, message);
        }
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
    fn harmful_device_ids_are_refused_and_made_visible() {
        for (id, expected) in [
            ("pi-1", None),
            ("a b", None),
            ("pi\u{200b}-1", None),
            ("a\u{1b}[2J", Some(r"\u{1b}[2J")),
            ("a\nb", Some(r"a\nb")),
            ("a\0", Some(r"a\u{0}")),
            ("\u{202e}1-ip", Some(r"\u{202e}1-ip")),
        ] {
            let mut rules = Rules::default();
            rules.require_harmless_ids("device_ids", &["pi-0".to_owned(), id.to_owned()]);
            let errors = rules.into_errors();
            let message = errors.first().map(|error| error.message.as_str());
            assert_eq!(message.is_some(), expected.is_some(), "{id:?}");
            assert!(expected.is_none_or(|part| message.is_some_and(|it| it.contains(part))));
        }
    }

    #[test]
    fn a_request_that_breaks_no_rule_is_accepted() {
        assert!(Rules::default().accept("invalid").is_ok());
    }
}
