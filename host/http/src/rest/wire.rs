//! Shapes that many operations share.

use jiff::Timestamp as Moment;
use serde::{Serialize, Serializer};
use tidegate_core::time::Timestamp;
use tidegate_engine::ports::PageRequest;
use utoipa::ToSchema;

/// RFC 3339, UTC, with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2026-05-01T12:00:00.000Z"))]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let end = if self.0.0 < 0 {
            Moment::MIN
        } else {
            Moment::MAX
        };
        let moment = Moment::from_millisecond(self.0.0).unwrap_or(end);
        serializer.collect_str(&format_args!("{moment:.3}"))
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// This part.
    items: Vec<T>,
    /// How many there are in this part.
    count: u64,
    /// How many there are in all.
    total: u64,
    /// How many were asked for at most.
    limit: u32,
    /// How many were skipped.
    offset: u64,
}

impl<T> List<T> {
    /// A part of a list with this many in all.
    pub(crate) fn new(items: Vec<T>, total: u64, page: PageRequest) -> Self {
        Self {
            count: items.len() as u64,
            items,
            total,
            limit: page.limit,
            offset: page.offset,
        }
    }
}

/// Shares of a whole, in percent with one decimal; of nothing: 0.
pub(crate) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 * 1000.0 / whole as f64).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        for (millis, expected) in [
            (0, "\"1970-01-01T00:00:00.000Z\""),
            (1_777_636_800_120, "\"2026-05-01T12:00:00.120Z\""),
            (i64::MAX, "\"9999-12-30T22:00:00.999Z\""),
        ] {
            let text = serde_json::to_string(&Time(Timestamp(millis))).expect("a string");
            assert_eq!(text, expected);
        }
    }
}
