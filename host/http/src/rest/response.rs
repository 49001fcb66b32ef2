//! Responses and response types shared by many operations.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::LOCATION};
use jiff::Timestamp as JiffTimestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer};
use tidegate_core::time::Timestamp;
use tidegate_engine::ports::PageRequest;
use utoipa::ToSchema;

/// Characters to percent-encode in a path segment: all but the unreserved ones of RFC 3986.
const SEGMENT_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// RFC 3339, UTC, with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2026-05-01T12:00:00.000Z"))]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bound = if self.0.0 < 0 {
            JiffTimestamp::MIN
        } else {
            JiffTimestamp::MAX
        };
        let moment = JiffTimestamp::from_millisecond(self.0.0).unwrap_or(bound);
        serializer.collect_str(&format_args!("{moment:.3}"))
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// This page.
    items: Vec<T>,
    /// Number of items on this page.
    count: u64,
    /// Number of items on all pages.
    total: u64,
    /// Maximum number of items on a page.
    limit: u32,
    /// Number of items skipped before this page.
    offset: u64,
}

impl<T> List<T> {
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

/// The largest share that is not the whole, in percent.
pub(crate) const BELOW_ALL: f64 = 99.9;

/// The share of `part` in `total`, in percent with one decimal; 0 if `total` is 0. It is 0 only for nothing, and 100 only
/// for all.
pub(crate) fn percent(part: u64, total: u64) -> f64 {
    if part == 0 || total == 0 {
        return 0.0;
    }
    if part >= total {
        return 100.0;
    }
    let share = (part as f64 * 1000.0 / total as f64).round() / 10.0;
    share.clamp(0.1, BELOW_ALL)
}

/// 201 with `Location`.
pub(crate) struct CreatedResponse<T> {
    /// The path under `/api/v1`.
    pub(crate) location: String,
    pub(crate) body: T,
}

impl<T: Serialize> IntoResponse for CreatedResponse<T> {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::CREATED, Json(self.body)).into_response();
        let headers = response.headers_mut();
        if let Ok(location) = HeaderValue::try_from(format!("/api/v1{}", self.location)) {
            headers.insert(LOCATION, location);
        }
        response
    }
}

/// Percent-encodes a segment of a path.
pub(crate) fn encode_segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT_ESCAPES).to_string()
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
