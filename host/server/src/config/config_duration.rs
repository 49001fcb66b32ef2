use std::{fmt, time::Duration};

use jiff::SignedDuration;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Unexpected, Visitor},
};

/// A duration, written as `5m`, `1h 30m`, `250ms` or `PT5M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "SignedDuration")]
pub struct ConfigDuration(pub Duration);

impl From<ConfigDuration> for SignedDuration {
    fn from(period: ConfigDuration) -> Self {
        Self::try_from(period.0).unwrap_or(Self::MAX)
    }
}

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(DurationVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = ConfigDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a duration, not negative and in units up to hours, such as \"5m\" or \"1h 30m\"",
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ConfigDuration, E> {
        let read = text.parse::<SignedDuration>().ok();
        let period = read.and_then(|read| Duration::try_from(read).ok());
        let period = period.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self));
        period.map(ConfigDuration)
    }
}
