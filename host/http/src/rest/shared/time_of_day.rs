use std::{fmt, time::Duration};

use jiff::{Span, SpanRelativeTo};
use serde::{Deserialize, Serialize, de::Error as _};
use utoipa::ToSchema;

/// A duration in whole seconds, shown as `HH:MM:SS`. `5m`, `1h 30m`, `7d` (a day has 24 hours) and `PT5M` are accepted
/// as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, examples("00:05:00"))]
pub(crate) struct TimeOfDay(pub(crate) Duration);

impl TimeOfDay {
    fn parse(text: &str) -> Option<Self> {
        let seconds = if text.contains(':') {
            parse_clock(text)?
        } else {
            let span: Span = text.parse().ok()?;
            let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
            (duration.subsec_nanos() == 0).then_some(duration.as_secs())?
        };
        Some(Self(Duration::from_secs(u64::try_from(seconds).ok()?)))
    }
}

/// Parses `HH:MM:SS` to seconds. Hours may exceed 23.
fn parse_clock(text: &str) -> Option<i64> {
    let parts: Vec<_> = text.split(':').collect();
    let [hours, minutes, seconds] = parts[..] else {
        return None;
    };
    let number = |text: &str, digits: &[usize]| {
        let good = digits.contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
        good.then(|| text.parse::<i64>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours, &[1, 2, 3])?, number(minutes, &[2])?);
    let seconds = number(seconds, &[2])?;
    (minutes < 60 && seconds < 60).then_some((hours * 60 + minutes) * 60 + seconds)
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{hours:02}:{minutes:02}:{seconds:02}")
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let invalid =
            || D::Error::custom("must be a duration in whole seconds, such as `00:05:00` or `5m`");
        let text = String::deserialize(deserializer).map_err(|error| {
            // This error says which field it is.
            let is_missing = error.to_string().starts_with("missing field");
            if is_missing { error } else { invalid() }
        })?;
        Self::parse(&text).ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_several_formats() {
        for (text, shown) in [
            ("00:05:00", Some("00:05:00")),
            ("1:02:03", Some("01:02:03")),
            ("48:00:00", Some("48:00:00")),
            ("5m", Some("00:05:00")),
            ("1h 30m", Some("01:30:00")),
            ("PT90S", Some("00:01:30")),
            ("7d", Some("168:00:00")),
            ("1w", Some("168:00:00")),
            ("1 day 30s", Some("24:00:30")),
            ("1mo", None),
            ("1y", None),
            ("999999999999d", None),
            ("0s", Some("00:00:00")),
            ("", None),
            ("5", None),
            ("-5m", None),
            ("00:60:00", None),
            ("00:05", None),
            ("00:05:0", None),
            ("00:05:00.5", None),
            ("250ms", None),
            ("+1:00:00", None),
            ("9999:00:00", None),
            ("99999999999999999999h", None),
        ] {
            let read = TimeOfDay::parse(text).map(|time| time.to_string());
            assert_eq!(read.as_deref(), shown, "{text}");
        }
    }
}
