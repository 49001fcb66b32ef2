use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// A length of time, written as `5m`, `1h 30m`, `250ms` or `PT5M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SignedDuration", into = "SignedDuration")]
pub struct Period(pub Duration);

impl TryFrom<SignedDuration> for Period {
    type Error = &'static str;

    fn try_from(duration: SignedDuration) -> Result<Self, &'static str> {
        Duration::try_from(duration)
            .map(Self)
            .map_err(|_| "a length of time cannot be negative")
    }
}

impl From<Period> for SignedDuration {
    fn from(period: Period) -> Self {
        Self::try_from(period.0).unwrap_or(Self::MAX)
    }
}
