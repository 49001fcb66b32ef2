use std::ops::Range;

use http::{HeaderMap, header::RANGE};

/// Most parts of one answer: devices that update by differences ask for hundreds.
const MAX_PARTS: usize = 1024;

/// What of a file is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    Whole,
    Part(Range<u64>),
    /// Two or more, in order, apart from one another.
    Parts(Vec<Range<u64>>),
    /// Something of what is wanted is not there, or is wanted twice.
    Unsatisfiable,
}

/// Reads the `Range` header against a file of this size. Units that are not bytes are not understood, which means the
/// whole file (RFC 9110 section 14.2). Of several parts each must be there.
pub(super) fn wanted(headers: &HeaderMap, size: u64) -> Wanted {
    let mut values = headers.get_all(RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Wanted::Whole;
    };
    match value.to_str().ok().and_then(|text| text.split_once('=')) {
        Some((unit, parts)) if unit.trim().eq_ignore_ascii_case("bytes") => read(parts, size),
        _ => Wanted::Whole,
    }
}

fn read(parts: &str, size: u64) -> Wanted {
    let parts = parts.split(',').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty()).take(MAX_PARTS + 1);
    let found: Option<Vec<_>> = parts.map(|part| Part::parse(part)?.of(size)).collect();
    let Some(mut found) = found.filter(|found| (1..=MAX_PARTS).contains(&found.len())) else {
        return Wanted::Unsatisfiable;
    };
    found.sort_unstable_by_key(|part| part.start);
    if found.windows(2).any(|pair| pair[0].end > pair[1].start) {
        return Wanted::Unsatisfiable;
    }
    match &found[..] {
        [part] => Wanted::Part(part.clone()),
        _ => Wanted::Parts(found),
    }
}

enum Part {
    /// From here, to there (inclusive) or to the end.
    From(u64, Option<u64>),
    /// So many bytes from the end.
    Last(u64),
}

impl Part {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    fn of(&self, size: u64) -> Option<Range<u64>> {
        let range = match *self {
            Self::From(first, last) => {
                first..last.map_or(size, |last| size.min(last.saturating_add(1)))
            }
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

/// A number beyond all sizes is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn ranges_are_read_against_the_size() {
        for (header, size, expected) in [
            ("bytes=0-0", 10, Wanted::Part(0..1)),
            ("bytes=0-9", 10, Wanted::Part(0..10)),
            ("bytes=5-99", 10, Wanted::Part(5..10)),
            ("bytes=5-99999999999999999999999", 10, Wanted::Part(5..10)),
            ("bytes=9-", 10, Wanted::Part(9..10)),
            ("bytes=-1", 10, Wanted::Part(9..10)),
            ("bytes=-99", 10, Wanted::Part(0..10)),
            ("Bytes = 1-2", 10, Wanted::Part(1..3)),
            ("bytes=,1-2,", 10, Wanted::Part(1..3)),
            ("bytes=10-", 10, Wanted::Unsatisfiable),
            ("bytes=-0", 10, Wanted::Unsatisfiable),
            ("bytes=0-", 0, Wanted::Unsatisfiable),
            ("bytes=-5", 0, Wanted::Unsatisfiable),
            ("bytes=4-2", 10, Wanted::Unsatisfiable),
            ("bytes=a-b", 10, Wanted::Unsatisfiable),
            ("bytes=1", 10, Wanted::Unsatisfiable),
            ("bytes=-", 10, Wanted::Unsatisfiable),
            ("bytes=", 10, Wanted::Unsatisfiable),
            ("bytes=+1-2", 10, Wanted::Unsatisfiable),
            ("bytes=1-2,4-5", 10, Wanted::Parts(vec![1..3, 4..6])),
            ("bytes=1-2,3-5", 10, Wanted::Parts(vec![1..3, 3..6])),
            (
                "bytes=-2, 0-0 ,4-5",
                10,
                Wanted::Parts(vec![0..1, 4..6, 8..10]),
            ),
            ("bytes=1-2,2-5", 10, Wanted::Unsatisfiable),
            ("bytes=0-,-1", 10, Wanted::Unsatisfiable),
            ("bytes=1-2,1-2", 10, Wanted::Unsatisfiable),
            ("bytes=1-2,99-", 10, Wanted::Unsatisfiable),
            ("bytes=98-,99-", 10, Wanted::Unsatisfiable),
            ("bytes=1-2,x", 10, Wanted::Unsatisfiable),
            ("lines=1-2", 10, Wanted::Whole),
            ("bytes", 10, Wanted::Whole),
        ] {
            let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(header))]);
            assert_eq!(wanted(&headers, size), expected, "{header}");
        }
        assert_eq!(wanted(&HeaderMap::new(), 10), Wanted::Whole);
    }

    #[test]
    fn there_is_an_end_to_how_many_parts_are_sent() {
        let parts = |count: usize| {
            let parts: Vec<_> = (0..count).map(|n| format!("{0}-{0}", n * 2)).collect();
            match read(&parts.join(","), 1 << 20) {
                Wanted::Parts(parts) => Some(parts.len()),
                _ => None,
            }
        };
        assert_eq!(parts(MAX_PARTS), Some(MAX_PARTS));
        assert_eq!(parts(MAX_PARTS + 1), None);
    }

    #[test]
    fn fuzz_range() {
        bolero::check!(name = "range").for_each(|bytes: &[u8]| {
            let Ok(value) = HeaderValue::from_bytes(bytes) else {
                return;
            };
            let headers = HeaderMap::from_iter([(RANGE, value)]);
            for size in [0, 1, 10, u64::MAX] {
                let parts = match wanted(&headers, size) {
                    Wanted::Part(part) => vec![part],
                    Wanted::Parts(parts) => parts,
                    Wanted::Whole | Wanted::Unsatisfiable => Vec::new(),
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
