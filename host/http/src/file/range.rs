use std::ops::Range;

use http::{HeaderMap, header::RANGE};

/// Maximum number of ranges of one request: devices with delta updates request hundreds.
const MAX_PARTS: usize = 1024;

/// The requested part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestedRange {
    Whole,
    Part(Range<u64>),
    /// At least two ranges, sorted and disjoint.
    Parts(Vec<Range<u64>>),
    /// No range is sent: they are outside the file, or the rules refuse them.
    Unsatisfiable,
}

/// How a server treats ranges that are malformed, overlap, or lie outside the file only in part. RFC 9110 lets it
/// ignore or refuse a malformed header and merge ranges that overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RangeRules {
    /// A malformed header is ignored, ranges that overlap are merged, and those outside the file are left out.
    Rfc9110,
    /// As hawkBit, for its clients: each of these is refused.
    HawkBit,
}

/// Resolves the `Range` header against the file's size. A header with another unit than bytes is ignored (RFC 9110
/// section 14.2).
pub(super) fn parse_range(headers: &HeaderMap, size: u64, rules: RangeRules) -> RequestedRange {
    let mut values = headers.get_all(RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return RequestedRange::Whole;
    };
    match value.to_str().ok().and_then(|text| text.split_once('=')) {
        Some((unit, parts)) if unit.trim().eq_ignore_ascii_case("bytes") => {
            parse_specs(parts, size, rules)
        }
        _ => RequestedRange::Whole,
    }
}

fn parse_specs(parts: &str, size: u64, rules: RangeRules) -> RequestedRange {
    let parts = parts.split(',').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty()).take(MAX_PARTS + 1);
    let specs: Option<Vec<_>> = parts.map(RangeSpec::parse).collect();
    let specs = specs.filter(|specs| (1..=MAX_PARTS).contains(&specs.len()));
    match (rules, specs) {
        (RangeRules::Rfc9110, None) => RequestedRange::Whole,
        (RangeRules::Rfc9110, Some(specs)) => merge(&specs, size),
        (RangeRules::HawkBit, specs) => {
            specs.map_or(RequestedRange::Unsatisfiable, |specs| all(&specs, size))
        }
    }
}

/// The satisfiable ranges, merged where they overlap.
fn merge(specs: &[RangeSpec], size: u64) -> RequestedRange {
    let mut ranges: Vec<_> = specs.iter().filter_map(|spec| spec.resolve(size)).collect();
    ranges.sort_unstable_by_key(|part| part.start);
    ranges.dedup_by(|next, before| {
        let overlaps = next.start < before.end;
        if overlaps {
            before.end = before.end.max(next.end);
        }
        overlaps
    });
    RequestedRange::of(ranges)
}

/// All ranges, if all are satisfiable and no two overlap.
fn all(specs: &[RangeSpec], size: u64) -> RequestedRange {
    let ranges: Option<Vec<_>> = specs.iter().map(|spec| spec.resolve(size)).collect();
    let mut ranges = ranges.unwrap_or_default();
    ranges.sort_unstable_by_key(|part| part.start);
    if ranges.windows(2).any(|pair| pair[0].end > pair[1].start) {
        return RequestedRange::Unsatisfiable;
    }
    RequestedRange::of(ranges)
}

impl RequestedRange {
    /// Sorted and disjoint ranges.
    fn of(ranges: Vec<Range<u64>>) -> Self {
        match &ranges[..] {
            [] => Self::Unsatisfiable,
            [part] => Self::Part(part.clone()),
            _ => Self::Parts(ranges),
        }
    }
}

enum RangeSpec {
    /// First byte and last byte (inclusive); without the latter, to the end.
    From(u64, Option<u64>),
    /// A number of bytes at the end.
    Suffix(u64),
}

impl RangeSpec {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", last) => Some(Self::Suffix(parse_number(last)?)),
            (first, "") => Some(Self::From(parse_number(first)?, None)),
            (first, last) => {
                let (first, last) = (parse_number(first)?, parse_number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    fn resolve(&self, size: u64) -> Option<Range<u64>> {
        let range = match *self {
            Self::From(first, last) => {
                first..last.map_or(size, |last| size.min(last.saturating_add(1)))
            }
            Self::Suffix(count) => size.saturating_sub(count)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Parses a number; one that is too large becomes the maximum.
fn parse_number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn ranges_are_resolved_against_the_size() {
        for (header, size, expected) in [
            ("bytes=0-0", 10, RequestedRange::Part(0..1)),
            ("bytes=0-9", 10, RequestedRange::Part(0..10)),
            ("bytes=5-99", 10, RequestedRange::Part(5..10)),
            (
                "bytes=5-99999999999999999999999",
                10,
                RequestedRange::Part(5..10),
            ),
            ("bytes=9-", 10, RequestedRange::Part(9..10)),
            ("bytes=-1", 10, RequestedRange::Part(9..10)),
            ("bytes=-99", 10, RequestedRange::Part(0..10)),
            ("Bytes = 1-2", 10, RequestedRange::Part(1..3)),
            ("bytes=,1-2,", 10, RequestedRange::Part(1..3)),
            ("bytes=10-", 10, RequestedRange::Unsatisfiable),
            ("bytes=-0", 10, RequestedRange::Unsatisfiable),
            ("bytes=0-", 0, RequestedRange::Unsatisfiable),
            ("bytes=-5", 0, RequestedRange::Unsatisfiable),
            ("bytes=4-2", 10, RequestedRange::Unsatisfiable),
            ("bytes=a-b", 10, RequestedRange::Unsatisfiable),
            ("bytes=1", 10, RequestedRange::Unsatisfiable),
            ("bytes=-", 10, RequestedRange::Unsatisfiable),
            ("bytes=", 10, RequestedRange::Unsatisfiable),
            ("bytes=+1-2", 10, RequestedRange::Unsatisfiable),
            ("bytes=1-2,4-5", 10, RequestedRange::Parts(vec![1..3, 4..6])),
            ("bytes=1-2,3-5", 10, RequestedRange::Parts(vec![1..3, 3..6])),
            (
                "bytes=-2, 0-0 ,4-5",
                10,
                RequestedRange::Parts(vec![0..1, 4..6, 8..10]),
            ),
            ("bytes=1-2,2-5", 10, RequestedRange::Unsatisfiable),
            ("bytes=0-,-1", 10, RequestedRange::Unsatisfiable),
            ("bytes=1-2,1-2", 10, RequestedRange::Unsatisfiable),
            ("bytes=1-2,99-", 10, RequestedRange::Unsatisfiable),
            ("bytes=98-,99-", 10, RequestedRange::Unsatisfiable),
            ("bytes=1-2,x", 10, RequestedRange::Unsatisfiable),
            ("lines=1-2", 10, RequestedRange::Whole),
            ("bytes", 10, RequestedRange::Whole),
        ] {
            let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(header))]);
            let resolved = parse_range(&headers, size, RangeRules::HawkBit);
            assert_eq!(resolved, expected, "{header}");
        }
        for rules in [RangeRules::HawkBit, RangeRules::Rfc9110] {
            let resolved = parse_range(&HeaderMap::new(), 10, rules);
            assert_eq!(resolved, RequestedRange::Whole);
        }
    }

    #[test]
    fn by_rfc_9110_malformed_ranges_are_ignored_and_overlapping_ones_merged() {
        for (header, size, expected) in [
            ("bytes=0-0", 10, RequestedRange::Part(0..1)),
            ("bytes=5-99", 10, RequestedRange::Part(5..10)),
            ("bytes=-99", 10, RequestedRange::Part(0..10)),
            ("bytes=,1-2,", 10, RequestedRange::Part(1..3)),
            // Malformed.
            ("bytes=4-2", 10, RequestedRange::Whole),
            ("bytes=a-b", 10, RequestedRange::Whole),
            ("bytes=1", 10, RequestedRange::Whole),
            ("bytes=-", 10, RequestedRange::Whole),
            ("bytes=", 10, RequestedRange::Whole),
            ("bytes=+1-2", 10, RequestedRange::Whole),
            ("bytes=1-2-3", 10, RequestedRange::Whole),
            ("bytes=1-2,x", 10, RequestedRange::Whole),
            ("bytes=99-,x", 10, RequestedRange::Whole),
            ("bytes=1-2,4-2", 10, RequestedRange::Whole),
            ("lines=1-2", 10, RequestedRange::Whole),
            ("bytes", 10, RequestedRange::Whole),
            // Outside the file.
            ("bytes=10-", 10, RequestedRange::Unsatisfiable),
            ("bytes=-0", 10, RequestedRange::Unsatisfiable),
            ("bytes=0-", 0, RequestedRange::Unsatisfiable),
            ("bytes=98-,99-", 10, RequestedRange::Unsatisfiable),
            ("bytes=1-2,99-", 10, RequestedRange::Part(1..3)),
            (
                "bytes=-0,1-2,99-,5-5",
                10,
                RequestedRange::Parts(vec![1..3, 5..6]),
            ),
            // Several.
            ("bytes=1-2,3-5", 10, RequestedRange::Parts(vec![1..3, 3..6])),
            ("bytes=1-2,2-5", 10, RequestedRange::Part(1..6)),
            ("bytes=0-,-1", 10, RequestedRange::Part(0..10)),
            ("bytes=1-2,1-2", 10, RequestedRange::Part(1..3)),
            ("bytes=0-8,1-2,4-5", 10, RequestedRange::Part(0..9)),
            (
                "bytes=-2,0-1,4-5,1-2",
                10,
                RequestedRange::Parts(vec![0..3, 4..6, 8..10]),
            ),
        ] {
            let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(header))]);
            let resolved = parse_range(&headers, size, RangeRules::Rfc9110);
            assert_eq!(resolved, expected, "{header}");
        }
    }

    #[test]
    fn the_number_of_parts_is_limited() {
        let parts = |count: usize| {
            let parts: Vec<_> = (0..count).map(|n| format!("{0}-{0}", n * 2)).collect();
            [RangeRules::HawkBit, RangeRules::Rfc9110].map(|rules| {
                match parse_specs(&parts.join(","), 1 << 20, rules) {
                    RequestedRange::Parts(parts) => Ok(parts.len()),
                    other => Err(other),
                }
            })
        };
        assert_eq!(parts(MAX_PARTS), [Ok(MAX_PARTS), Ok(MAX_PARTS)]);
        assert_eq!(
            parts(MAX_PARTS + 1),
            [
                Err(RequestedRange::Unsatisfiable),
                Err(RequestedRange::Whole)
            ]
        );
    }

    #[test]
    fn fuzz_range() {
        bolero::check!(name = "range").for_each(|bytes: &[u8]| {
            let Ok(value) = HeaderValue::from_bytes(bytes) else {
                return;
            };
            let headers = HeaderMap::from_iter([(RANGE, value)]);
            let rules = [RangeRules::HawkBit, RangeRules::Rfc9110];
            let sizes = [0, 1, 10, u64::MAX];
            for (size, rules) in sizes.iter().flat_map(|&it| rules.map(|rules| (it, rules))) {
                let parts = match parse_range(&headers, size, rules) {
                    RequestedRange::Part(part) => vec![part],
                    RequestedRange::Parts(parts) => parts,
                    RequestedRange::Whole | RequestedRange::Unsatisfiable => Vec::new(),
                };
                assert!(
                    parts
                        .iter()
                        .all(|part| part.start < part.end && part.end <= size)
                );
                assert!(
                    parts.is_sorted_by(|one, next| one.end <= next.start),
                    "{parts:?}"
                );
            }
        });
    }
}
