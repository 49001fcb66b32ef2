use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use tidegate_core::{Named as _, device::AttributeMode};

/// The attributes that a device reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigData {
    /// How they are combined with those that the server has.
    #[serde(serialize_with = "named")]
    pub mode: AttributeMode,
    /// The attributes. One without a value is removed.
    pub data: BTreeMap<String, Option<String>>,
}

impl ConfigData {
    /// Attributes that replace those of the same name.
    pub fn merge<K, V>(data: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<String>,
        V: Into<String>,
    {
        let texts = data
            .into_iter()
            .map(|(key, value)| (key.into(), Some(value.into())));
        Self {
            mode: AttributeMode::Merge,
            data: texts.collect(),
        }
    }

    /// The same, and the attribute of this name is removed.
    #[must_use]
    pub fn without(mut self, key: impl Into<String>) -> Self {
        self.data.insert(key.into(), None);
        self
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn named<S: Serializer>(mode: &AttributeMode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(mode.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_written_with_their_mode() {
        let mut config = ConfigData::merge([("sw_version", "2.0.0"), ("hw_model", "edge")]);
        config = config.without("site");
        for (mode, word) in [
            (AttributeMode::Merge, "merge"),
            (AttributeMode::Replace, "replace"),
            (AttributeMode::Remove, "remove"),
        ] {
            config.mode = mode;
            let body = serde_json::to_string(&config).expect("it is written");
            let expected = format!(
                r#"{{"mode":"{word}","data":{{"hw_model":"edge","site":null,"sw_version":"2.0.0"}}}}"#
            );
            assert_eq!(body, expected);
        }
    }
}
