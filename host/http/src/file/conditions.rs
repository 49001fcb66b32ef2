use http::{
    HeaderMap, HeaderName,
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE},
};
use jiff::fmt::rfc2822;
use tidegate_core::time::Timestamp;

use crate::etag;

/// The result of a request's preconditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PreconditionResult {
    Passed,
    /// The client already has the file.
    NotModified,
    /// The file is not the one that the client expects.
    Failed,
}

/// Evaluates a request's preconditions in the order of RFC 9110 section 13.2.2. `tag` has no quotes.
pub(super) fn check(headers: &HeaderMap, tag: &str, modified: Timestamp) -> PreconditionResult {
    let modified = modified.0.div_euclid(1000);
    if headers.contains_key(IF_MATCH) {
        if !etag::header_matches(headers, &IF_MATCH, tag, false) {
            return PreconditionResult::Failed;
        }
    } else if header_date(headers, &IF_UNMODIFIED_SINCE).is_some_and(|date| modified > date) {
        return PreconditionResult::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if etag::header_matches(headers, &IF_NONE_MATCH, tag, true) {
            return PreconditionResult::NotModified;
        }
    } else if header_date(headers, &IF_MODIFIED_SINCE).is_some_and(|date| modified <= date) {
        return PreconditionResult::NotModified;
    }
    PreconditionResult::Passed
}

/// True if the request has no `If-Range`, or one that matches the current file.
pub(super) fn if_range_matches(headers: &HeaderMap, tag: &str, modified: Timestamp) -> bool {
    let Some(value) = headers.get(IF_RANGE) else {
        return true;
    };
    let is_date = header_date(headers, &IF_RANGE) == Some(modified.0.div_euclid(1000));
    is_date
        || value
            .to_str()
            .is_ok_and(|named| etag::tag_matches(named.trim(), tag, false))
}

/// Formats an HTTP date; none if the year is out of range.
pub(super) fn http_date(time: Timestamp) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(time.0).ok()?;
    rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .ok()
}

/// Parses the date of a header, in seconds since 1970; none if it is absent or invalid.
fn header_date(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    let text = headers.get(name)?.to_str().ok()?;
    let time = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(time.as_second())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const MODIFIED: Timestamp = Timestamp(784_111_777_999);
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn tags_take_precedence_over_dates() {
        for (pairs, expected) in [
            (&[][..], PreconditionResult::Passed),
            (&[(IF_MATCH, "ab")], PreconditionResult::Passed),
            (&[(IF_MATCH, "\"ab\", \"cd\"")], PreconditionResult::Passed),
            (&[(IF_MATCH, "\"cd\"")], PreconditionResult::Failed),
            (
                &[(IF_MATCH, "*"), (IF_UNMODIFIED_SINCE, BEFORE)],
                PreconditionResult::Passed,
            ),
            (&[(IF_UNMODIFIED_SINCE, BEFORE)], PreconditionResult::Failed),
            (&[(IF_UNMODIFIED_SINCE, SAME)], PreconditionResult::Passed),
            (
                &[(IF_NONE_MATCH, "W/\"ab\"")],
                PreconditionResult::NotModified,
            ),
            (
                &[(IF_NONE_MATCH, "\"cd\""), (IF_MODIFIED_SINCE, SAME)],
                PreconditionResult::Passed,
            ),
            (
                &[(IF_MODIFIED_SINCE, SAME)],
                PreconditionResult::NotModified,
            ),
            (&[(IF_MODIFIED_SINCE, BEFORE)], PreconditionResult::Passed),
            (
                &[(IF_MODIFIED_SINCE, "yesterday")],
                PreconditionResult::Passed,
            ),
        ] {
            assert_eq!(
                check(&headers(pairs), "ab", MODIFIED),
                expected,
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn if_range_must_match_the_file() {
        for (value, expected) in [
            ("\"ab\"", true),
            ("ab", true),
            ("W/\"ab\"", false),
            ("\"cd\"", false),
            (SAME, true),
            (BEFORE, false),
        ] {
            let headers = headers(&[(IF_RANGE, value)]);
            assert_eq!(
                if_range_matches(&headers, "ab", MODIFIED),
                expected,
                "{value}"
            );
        }
        assert!(if_range_matches(&HeaderMap::new(), "ab", MODIFIED));
    }

    #[test]
    fn dates_round_trip() {
        assert_eq!(http_date(MODIFIED).as_deref(), Some(SAME));
        assert_eq!(http_date(Timestamp(i64::MAX)), None);
    }
}
