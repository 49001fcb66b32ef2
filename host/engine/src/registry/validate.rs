use std::{collections::BTreeMap, time::Duration};

use tidegate_core::{
    device::{MAX_ATTRIBUTES, check_attribute, check_device_id},
    polling,
};

use crate::rules::Rules;

/// The code of an error with the invalid fields of a device.
pub(super) const INVALID: &str = "invalid_device";
/// Maximum number of groups of a device.
const MAX_GROUPS: usize = 50;
/// Maximum length of a group or feed name, in characters.
const MAX_NAME: usize = 100;
/// Maximum length of a label key, in characters.
const MAX_LABEL_KEY: usize = 64;
/// Maximum length of a label value, in characters.
const MAX_LABEL: usize = 256;

/// The rules of the fields of a device that operators set.
#[derive(Default)]
pub(super) struct DeviceValidator {
    pub(super) rules: Rules,
}

impl DeviceValidator {
    pub(super) fn device_id(&mut self, device_id: &str) {
        if let Err(error) = check_device_id(device_id) {
            self.rules.reject("device_id", error.to_string());
        }
    }

    pub(super) fn name(&mut self, name: &str) {
        self.rules.require(
            is_short(name, 200),
            "name",
            "must have at most 200 characters",
        );
    }

    pub(super) fn groups(&mut self, groups: &[String]) {
        self.rules.require(
            groups.len() <= MAX_GROUPS,
            "groups",
            &format!("must be at most {MAX_GROUPS}"),
        );
        self.rules.require(
            groups.iter().all(|group| is_name(group)),
            "groups",
            &format!("each must have 1 to {MAX_NAME} characters"),
        );
    }

    pub(super) fn feed(&mut self, feed: &str) {
        self.rules.require(
            is_name(feed),
            "feed",
            &format!("must have 1 to {MAX_NAME} characters"),
        );
    }

    pub(super) fn polling_interval(&mut self, interval: Duration) {
        let range = polling::MIN_POLL_INTERVAL..=polling::MAX_POLL_INTERVAL;
        self.rules.require(
            range.contains(&interval),
            "polling_interval",
            "must be between 00:00:01 and 23:59:59",
        );
    }

    pub(super) fn label(&mut self, key: &str, value: Option<&str>) {
        // Selectors can name only such keys.
        let is_key = (1..=MAX_LABEL_KEY).contains(&key.chars().count())
            && key
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
        self.rules.require(
            is_key,
            "labels",
            &format!("a key must have 1 to {MAX_LABEL_KEY} letters, digits, `_`, `.` or `-`"),
        );
        self.rules.require(
            value.is_none_or(|value| is_short(value, MAX_LABEL)),
            "labels",
            &format!("a value must have at most {MAX_LABEL} characters"),
        );
    }

    pub(super) fn attributes(&mut self, attributes: &BTreeMap<String, String>) {
        self.rules.require(
            attributes.len() <= MAX_ATTRIBUTES,
            "attributes",
            &format!("must be at most {MAX_ATTRIBUTES}"),
        );
        for (key, value) in attributes {
            if let Err(error) = check_attribute(key, Some(value)) {
                self.rules.reject("attributes", error.to_string());
            }
        }
    }
}

fn is_short(text: &str, limit: usize) -> bool {
    text.chars().count() <= limit
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && is_short(text, MAX_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(check: impl FnOnce(&mut DeviceValidator)) -> Vec<String> {
        let mut validator = DeviceValidator::default();
        check(&mut validator);
        let errors = validator.rules.into_errors().into_iter();
        errors.map(|error| error.path).collect()
    }

    #[test]
    fn every_broken_rule_is_named_once() {
        let paths = broken(|validator| {
            validator.device_id("a b");
            validator.name(&"x".repeat(201));
            validator.groups(&[String::new()]);
            validator.feed("");
            validator.label("a b", None);
            validator.label("", None);
            validator.attributes(&BTreeMap::from([("site".to_owned(), "x".repeat(129))]));
        });
        let expected = [
            "device_id",
            "name",
            "groups",
            "feed",
            "labels",
            "attributes",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn valid_fields_pass() {
        let paths = broken(|validator| {
            validator.device_id(&"ä".repeat(256));
            validator.name("");
            validator.groups(&["lab".to_owned()]);
            validator.feed("beta");
            validator.label("rack.row-7_a", Some(""));
            validator.label("gone", None);
        });
        assert_eq!(paths, Vec::<String>::new());
    }
}
