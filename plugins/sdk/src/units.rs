//! Config values in the contract's units.

use serde::{Deserialize, Deserializer, de::Error};

/// A percentage in a config: 0 to 100, with fractions; stored in basis points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u16);

/// Minutes in a config, with fractions; stored in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minutes(u64);

/// Hours in a config, with fractions; stored in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hours(u64);

impl Percent {
    /// 100 %.
    pub const ALL: Self = Self(10_000);

    /// From whole percents, at most 100.
    pub const fn new(percent: u8) -> Self {
        assert!(percent <= 100, "at most 100 percent");
        Self(percent as u16 * 100)
    }

    /// In basis points.
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// This share of a number of devices, rounded up: at least one device for any share above zero.
    pub const fn of(self, devices: u64) -> u64 {
        (devices as u128 * self.0 as u128).div_ceil(10_000) as u64
    }
}

impl Minutes {
    /// From whole minutes.
    pub const fn new(minutes: u32) -> Self {
        Self(minutes as u64 * 60_000)
    }

    /// In milliseconds.
    pub const fn milliseconds(self) -> u64 {
        self.0
    }
}

impl Hours {
    /// From whole hours.
    pub const fn new(hours: u32) -> Self {
        Self(hours as u64 * 3_600_000)
    }

    /// In milliseconds.
    pub const fn milliseconds(self) -> u64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percent = f64::deserialize(deserializer)?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(D::Error::custom("a percentage must be between 0 and 100"));
        }
        Ok(Self((percent * 100.0).round() as u16))
    }
}

impl<'de> Deserialize<'de> for Minutes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        duration(deserializer, 60_000.0).map(Self)
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        duration(deserializer, 3_600_000.0).map(Self)
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D, unit: f64) -> Result<u64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    if !number.is_finite() || number < 0.0 {
        return Err(D::Error::custom("a duration must not be negative"));
    }
    Ok((number * unit).round() as u64)
}

/// The share of `part` in `whole` in basis points, rounded down; 0 if `whole` is 0, at most 10,000.
pub fn share_of(part: u64, whole: u64) -> u16 {
    if whole == 0 {
        return 0;
    }
    (u128::from(part.min(whole)) * 10_000 / u128::from(whole)) as u16
}

/// Formats basis points: `2000` as `20%`, `1250` as `12.5%`.
pub fn percent_text(basis_points: u16) -> String {
    let (whole, rest) = (basis_points / 100, basis_points % 100);
    if rest == 0 {
        format!("{whole}%")
    } else if rest % 10 == 0 {
        format!("{whole}.{}%", rest / 10)
    } else {
        format!("{whole}.{rest:02}%")
    }
}

/// Formats milliseconds in the two largest non-zero units: `1 h 30 min`.
pub fn duration_text(milliseconds: u64) -> String {
    if milliseconds < 1000 {
        return format!("{milliseconds} ms");
    }
    let seconds = milliseconds / 1000;
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let mut words = Vec::new();
    for (number, unit) in parts {
        if number > 0 && words.len() < 2 {
            words.push(format!("{number} {unit}"));
        }
    }
    words.join(" ")
}

/// Milliseconds until `duration` has passed since `since`; `None` if it has passed or `since` is `None`.
pub fn milliseconds_left(now: u64, since: Option<u64>, duration: u64) -> Option<u64> {
    let end = since?.saturating_add(duration);
    (end > now).then(|| end - now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_basis_points() {
        for (json, expect) in [
            ("0", Some(0)),
            ("0.01", Some(1)),
            ("12.5", Some(1250)),
            ("33.333", Some(3333)),
            ("100", Some(10_000)),
            ("100.1", None),
            ("-1", None),
            ("\"5\"", None),
        ] {
            let percent = serde_json::from_str::<Percent>(json).ok();
            assert_eq!(percent.map(Percent::basis_points), expect, "{json}");
        }
    }

    #[test]
    fn shares_of_devices_are_rounded_up() {
        for (percent, devices, expect) in [
            (10, 30, 3),
            (10, 31, 4),
            (1, 1, 1),
            (0, 100, 0),
            (100, u64::MAX, u64::MAX),
        ] {
            assert_eq!(
                Percent::new(percent).of(devices),
                expect,
                "{percent} {devices}"
            );
        }
    }

    #[test]
    fn durations_are_milliseconds() {
        for (json, expect) in [("1", Some(60_000)), ("0.5", Some(30_000)), ("-1", None)] {
            let minutes = serde_json::from_str::<Minutes>(json).ok();
            assert_eq!(minutes.map(Minutes::milliseconds), expect, "{json}");
        }
        assert_eq!(serde_json::from_str("1.5").ok(), Some(Hours(5_400_000)));
    }

    #[test]
    fn percentages_and_durations_are_formatted() {
        for (basis_points, expect) in [
            (2000, "20%"),
            (1250, "12.5%"),
            (3333, "33.33%"),
            (5, "0.05%"),
        ] {
            assert_eq!(percent_text(basis_points), expect);
        }
        for (milliseconds, expect) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1 s"),
            (90_000, "1 min 30 s"),
            (3_600_000, "1 h"),
            (90_061_000, "1 d 1 h"),
        ] {
            assert_eq!(duration_text(milliseconds), expect);
        }
    }

    #[test]
    fn shares_handle_large_numbers_and_zero() {
        for (part, whole, expect) in [
            (1, 3, 3333),
            (0, 0, 0),
            (u64::MAX, u64::MAX, 10_000),
            (5, 4, 10_000),
        ] {
            assert_eq!(share_of(part, whole), expect);
        }
    }

    #[test]
    fn no_start_means_no_time_left() {
        for (now, since, expect) in [
            (10, Some(5), Some(5)),
            (15, Some(5), None),
            (10, None, None),
        ] {
            assert_eq!(milliseconds_left(now, since, 10), expect);
        }
    }
}
