//! Offsets of time zones, for plugins that work in local hours.

use jiff::tz::TimeZone;

use crate::time::Timestamp;

/// The offset of a time zone at a moment, and its next change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneOffset {
    /// Seconds to add to UTC for local time.
    pub seconds: i32,
    /// The next other offset, and the time from which it applies; `None` if no change is known.
    pub next: Option<(Timestamp, i32)>,
}

impl ZoneOffset {
    /// The offset of a zone of the time zone database, such as `Europe/Berlin`. `None`: there is no such zone.
    pub fn at(zone: &str, moment: Timestamp) -> Option<Self> {
        let zone = TimeZone::get(zone).ok().filter(|zone| !zone.is_unknown())?;
        let moment = jiff::Timestamp::from_millisecond(moment.0).ok()?;
        let seconds = zone.to_offset(moment).seconds();
        let mut changes = zone.following(moment);
        let next = changes.find(|change| change.offset().seconds() != seconds);
        Some(Self {
            seconds,
            next: next.map(|change| {
                let at = Timestamp(change.timestamp().as_millisecond());
                (at, change.offset().seconds())
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().expect("a moment");
        Timestamp(moment.as_millisecond())
    }

    #[test]
    fn offsets_change_with_daylight_saving_time() {
        let offset = |zone, text| ZoneOffset::at(zone, moment(text));
        let berlin = offset("Europe/Berlin", "2026-01-01T00:00:00Z").expect("a zone");
        assert_eq!(berlin.seconds, 3600);
        assert_eq!(berlin.next, Some((moment("2026-03-29T01:00:00Z"), 7200)));
        let summer = offset("Europe/Berlin", "2026-03-29T01:00:00Z").expect("a zone");
        assert_eq!(summer.seconds, 7200);
        let kolkata = offset("Asia/Kolkata", "2026-01-01T00:00:00Z").expect("a zone");
        assert_eq!((kolkata.seconds, kolkata.next), (19_800, None));
        assert_eq!(offset("Europe/Atlantis", "2026-01-01T00:00:00Z"), None);
    }
}
