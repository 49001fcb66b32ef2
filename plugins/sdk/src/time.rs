use serde::{Deserialize, Deserializer, de::Error};

/// A time in a config: RFC 3339, `2026-12-01T08:00:00+01:00`; stored in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(u64);

impl Time {
    /// From milliseconds since 1970.
    pub const fn new(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// In milliseconds since 1970.
    pub const fn milliseconds(self) -> u64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let seconds = parse(&text).and_then(|seconds| u64::try_from(seconds).ok());
        let seconds = seconds.ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no time since 1970: write it like 2026-12-01T08:00:00Z or 2026-12-01T08:00:00+01:00"
            ))
        })?;
        Ok(Self(seconds * 1000))
    }
}

/// Seconds since 1970 of a time without fractions of a second.
fn parse(text: &str) -> Option<i64> {
    const DIGITS: [usize; 14] = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18];
    let (time, offset) = text.split_at_checked(19)?;
    let bytes = time.as_bytes();
    if !DIGITS.iter().all(|&at| bytes[at].is_ascii_digit()) {
        return None;
    }
    let signs = [bytes[4], bytes[7], bytes[10], bytes[13], bytes[16]];
    let field = |from: usize, to: usize| time[from..to].parse::<i64>().ok();
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    let is_valid = signs == *b"--T::"
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let local = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    is_valid.then_some(local - parse_offset(offset)?)
}

/// Seconds that local time is ahead of UTC.
fn parse_offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let field = |text: &str| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<i64>().ok()).flatten()
    };
    let (hours, minutes) = (field(hours)?, field(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

const fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days of the Gregorian calendar. The year begins in March, so that a leap day is its last day.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_TO_1970: i64 = 719_468;
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - DAYS_TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_since_1970() {
        for (text, expect) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-01-01T00:00:00Z", Some(1_767_225_600_000)),
            ("2026-01-01T01:00:00+01:00", Some(1_767_225_600_000)),
            ("2025-12-31T18:30:00-05:30", Some(1_767_225_600_000)),
            ("2024-02-29T23:59:59Z", Some(1_709_251_199_000)),
            ("2024-03-01T00:00:00Z", Some(1_709_251_200_000)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400_000)),
            ("2025-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-01T24:00:00Z", None),
            ("2026-01-01 00:00:00Z", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01T00:00:00+1:00", None),
            ("2026-01-01T00:00:00+0100", None),
            ("+026-01-01T00:00:00Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("2026-01-0\u{e4}T00:00:00Z", None),
            ("tomorrow", None),
        ] {
            let json = serde_json::to_string(text).expect("a text");
            let time = serde_json::from_str::<Time>(&json).ok();
            assert_eq!(time.map(Time::milliseconds), expect, "{text}");
        }
    }
}
