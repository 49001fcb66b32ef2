//! The fields by which selectors select devices.

use std::{borrow::Cow, collections::BTreeMap};

use strum::VariantNames as _;

use crate::{
    Named as _,
    device::{Device, DeviceState},
    mode::DeviceMode,
    selector::{FieldKind, FieldValues, Fields},
};

const BOOLEAN: FieldKind = FieldKind::Word(&["true", "false"]);

/// The fields of devices in selectors.
pub const DEVICE_FIELDS: Fields = Fields {
    names: &[
        ("device_id", FieldKind::Text),
        ("name", FieldKind::Text),
        ("hw_model", FieldKind::Text),
        ("hw_revision", FieldKind::Version),
        ("sw_version", FieldKind::Version),
        ("group", FieldKind::Text),
        ("feed", FieldKind::Text),
        ("mode", FieldKind::Word(DeviceMode::VARIANTS)),
        ("pinned", BOOLEAN),
        ("drifted", BOOLEAN),
        ("state", FieldKind::Word(DeviceState::VARIANTS)),
        ("last_seen", FieldKind::Time),
        ("created_at", FieldKind::Time),
    ],
    prefixes: &["attribute.", "label."],
};

impl FieldValues for Device {
    fn values(&self, field: &str) -> Vec<Cow<'_, str>> {
        let one = |value: Option<&str>| {
            value
                .map(|value| Cow::Owned(value.to_owned()))
                .into_iter()
                .collect()
        };
        match field {
            "device_id" => one(Some(&self.device_id)),
            "name" => one(Some(&self.name)),
            "hw_model" => one(self.hw_model.as_deref()),
            "hw_revision" => one(self.hw_revision.as_deref()),
            "sw_version" => one(self.sw_version.as_deref()),
            "group" => self.groups.iter().map(Cow::from).collect(),
            "feed" => one(self.feed.as_deref()),
            "mode" => one(Some(self.mode.as_str())),
            "pinned" => one(Some(bool_text(self.pinned))),
            "drifted" => one(Some(bool_text(self.drift.is_some()))),
            "state" => one(Some(self.state.as_str())),
            "created_at" => vec![Cow::Owned(self.created_at.0.to_string())],
            "last_seen" => self
                .last_seen
                .map(|at| Cow::Owned(at.0.to_string()))
                .into_iter()
                .collect(),
            _ => one(prefixed_value(field, "attribute.", &self.attributes)
                .or_else(|| prefixed_value(field, "label.", &self.labels))),
        }
    }
}

fn bool_text(is_set: bool) -> &'static str {
    if is_set { "true" } else { "false" }
}

fn prefixed_value<'a>(
    field: &str,
    prefix: &str,
    values: &'a BTreeMap<String, String>,
) -> Option<&'a str> {
    let key = field.strip_prefix(prefix)?;
    values.get(key).map(String::as_str)
}
