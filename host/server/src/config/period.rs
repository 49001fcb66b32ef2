use std::{fmt, time::Duration};

use jiff::SignedDuration;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Unexpected, Visitor},
};

/// A length of time, written as `5m`, `1h 30m`, `250ms` or `PT5M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "SignedDuration")]
pub struct Period(pub Duration);

impl From<Period> for SignedDuration {
    fn from(period: Period) -> Self {
        Self::try_from(period.0).unwrap_or(Self::MAX)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Written)
    }
}

struct Written;

impl Visitor<'_> for Written {
    type Value = Period;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a length of time, not negative and in units up to hours, such as \"5m\" or \"1h 30m\"",
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Period, E> {
        let read = text.parse::<SignedDuration>().ok();
        let period = read.and_then(|read| Duration::try_from(read).ok());
        let period = period.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self));
        period.map(Period)
    }
}
