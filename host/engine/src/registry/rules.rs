use std::{collections::BTreeMap, time::Duration};

use tidegate_core::{
    device::{MAX_ATTRIBUTE_CHARS, MAX_ATTRIBUTES, check_device_id},
    plugin::FieldError,
    polling,
};

use crate::{Error, Result};

/// Most groups of a device.
const MAX_GROUPS: usize = 50;
/// Longest name of a group or a feed, in characters.
const MAX_NAME: usize = 100;
/// Longest key of a label, in characters.
const MAX_LABEL_KEY: usize = 64;
/// Longest value of a label, in characters.
const MAX_LABEL: usize = 256;

/// What devices may be told by operators: every broken rule is gathered.
#[derive(Default)]
pub(super) struct Rules {
    errors: Vec<FieldError>,
}

impl Rules {
    pub(super) fn device_id(&mut self, device_id: &str) {
        if let Err(error) = check_device_id(device_id) {
            self.break_rule("/device_id", error.to_string());
        }
    }

    pub(super) fn name(&mut self, name: &str) {
        self.rule(is_short(name, 200), "/name", || {
            "must have at most 200 characters".to_owned()
        });
    }

    pub(super) fn groups(&mut self, groups: &[String]) {
        self.rule(groups.len() <= MAX_GROUPS, "/groups", || {
            format!("must be at most {MAX_GROUPS}")
        });
        self.rule(groups.iter().all(|group| is_name(group)), "/groups", || {
            format!("each must have 1 to {MAX_NAME} characters")
        });
    }

    pub(super) fn feed(&mut self, feed: &str) {
        self.rule(is_name(feed), "/feed", || {
            format!("must have 1 to {MAX_NAME} characters; null for none")
        });
    }

    pub(super) fn polling_interval(&mut self, interval: Duration) {
        let range = polling::SHORTEST..=polling::LONGEST;
        self.rule(range.contains(&interval), "/polling_interval", || {
            "must be between 00:00:01 and 23:59:59; null for none".to_owned()
        });
    }

    pub(super) fn label(&mut self, key: &str, value: Option<&str>) {
        // What a selector can name.
        let is_key = (1..=MAX_LABEL_KEY).contains(&key.chars().count())
            && key
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
        self.rule(is_key, "/labels", || {
            format!("a key must have 1 to {MAX_LABEL_KEY} letters, digits, `_`, `.` or `-`")
        });
        self.rule(
            value.is_none_or(|value| is_short(value, MAX_LABEL)),
            "/labels",
            || format!("a value must have at most {MAX_LABEL} characters"),
        );
    }

    pub(super) fn attributes(&mut self, attributes: &BTreeMap<String, String>) {
        self.rule(attributes.len() <= MAX_ATTRIBUTES, "/attributes", || {
            format!("must be at most {MAX_ATTRIBUTES}")
        });
        let fits = |(key, value): (&String, &String)| {
            !key.is_empty()
                && is_short(key, MAX_ATTRIBUTE_CHARS)
                && is_short(value, MAX_ATTRIBUTE_CHARS)
        };
        self.rule(attributes.iter().all(fits), "/attributes", || {
            format!(
                "keys must have 1 to {MAX_ATTRIBUTE_CHARS} characters, values at most {MAX_ATTRIBUTE_CHARS}"
            )
        });
    }

    fn rule(&mut self, good: bool, path: &str, message: impl FnOnce() -> String) {
        if !good {
            self.break_rule(path, message());
        }
    }

    pub(super) fn break_rule(&mut self, path: &str, message: String) {
        let path = path.to_owned();
        let error = FieldError { path, message };
        // A rule that many labels break is one rule.
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// All that is broken, as one error.
    pub(super) fn kept(self) -> Result<()> {
        let errors = self.errors;
        let message = match &errors[..] {
            [] => return Ok(()),
            [one] => format!("{}: {}", one.path, one.message),
            many => format!(
                "{} fields of the device are not as they must be",
                many.len()
            ),
        };
        Err(Error::Invalid {
            code: "invalid_device",
            message,
            errors,
        })
    }
}

fn is_short(text: &str, most: usize) -> bool {
    text.chars().count() <= most
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && is_short(text, MAX_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(check: impl FnOnce(&mut Rules)) -> Vec<String> {
        let mut rules = Rules::default();
        check(&mut rules);
        match rules.kept() {
            Ok(()) => Vec::new(),
            Err(Error::Invalid { errors, .. }) => {
                errors.into_iter().map(|error| error.path).collect()
            }
            Err(error) => vec![error.to_string()],
        }
    }

    #[test]
    fn every_broken_rule_is_named_once() {
        let paths = broken(|rules| {
            rules.device_id("a b");
            rules.name(&"x".repeat(201));
            rules.groups(&[String::new()]);
            rules.feed("");
            rules.label("a b", None);
            rules.label("", None);
            rules.attributes(&BTreeMap::from([("site".to_owned(), "x".repeat(129))]));
        });
        let expected = [
            "/device_id",
            "/name",
            "/groups",
            "/feed",
            "/labels",
            "/attributes",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn what_keeps_to_the_rules_is_fine() {
        let paths = broken(|rules| {
            rules.device_id(&"ä".repeat(256));
            rules.name("");
            rules.groups(&["lab".to_owned()]);
            rules.feed("beta");
            rules.label("rack.row-7_a", Some(""));
            rules.label("gone", None);
        });
        assert_eq!(paths, Vec::<String>::new());
    }
}
