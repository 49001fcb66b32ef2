//! Cron by the clock of a place.

use croner::{Cron, parser::CronParser};
use jiff::{
    SignedDuration,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use crate::time::Timestamp;

/// Longest text of a schedule, and of a time zone, in bytes.
const MAX_TEXT_BYTES: usize = 200;
/// Most moments of a schedule that are looked at for one opening: those of an hour that a clock goes through twice.
const MAX_SKIPPED_OCCURRENCES: usize = 2 * 60 * 60;

/// When something begins, again and again.
pub(super) struct Schedule {
    pub(super) cron: Cron,
    pub(super) zone: TimeZone,
}

impl Schedule {
    /// The first moment later than that; none: there is none.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let moment = jiff::Timestamp::from_millisecond(after.0).ok()?;
        let mut civil = self.zone.to_datetime(moment);
        for _ in 0..MAX_SKIPPED_OCCURRENCES {
            civil = self.cron.find_next_occurrence(&civil, false).ok()?;
            // What stands in an hour that the clock goes through twice opens the first time.
            let opening = self.moment(civil)?;
            if opening > moment {
                return Some(Timestamp(opening.as_millisecond()));
            }
        }
        None
    }

    /// When the clock shows this for the first time; for what it leaves out, when it goes forward.
    fn moment(&self, civil: DateTime) -> Option<jiff::Timestamp> {
        match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Gap { before, .. } => {
                let after_gap = before.to_timestamp(civil).ok()?;
                let after = after_gap.checked_add(SignedDuration::from_secs(1)).ok()?;
                let mut earlier = self.zone.preceding(after);
                earlier.next().map(|transition| transition.timestamp())
            }
            _ => self.zone.to_ambiguous_timestamp(civil).compatible().ok(),
        }
    }

    /// A moment for people: by its own clock.
    pub(super) fn format_local(&self, moment: Timestamp) -> Option<String> {
        let moment = jiff::Timestamp::from_millisecond(moment.0).ok()?;
        let local = moment.to_zoned(self.zone.clone());
        Some(local.strftime("%Y-%m-%d %H:%M:%S %Z").to_string())
    }
}

/// Reads cron: with five fields as Unix has it, with more as Quartz has it. An error says what it must be.
pub(super) fn parse_cron(schedule: &str) -> Result<Cron, String> {
    if schedule.len() > MAX_TEXT_BYTES || !schedule.is_ascii() {
        return Err("must be cron, in at most 200 plain characters".to_owned());
    }
    let is_quartz = schedule.split_ascii_whitespace().count() > 5;
    let parser = CronParser::builder()
        .alternative_weekdays(is_quartz)
        .sloppy_ranges(is_quartz)
        .build();
    let parsed = parser.parse(schedule);
    parsed.map_err(|error| format!("must be cron, such as `0 2 * * SUN`: {error}"))
}

/// The time zone of an IANA name.
pub(super) fn parse_time_zone(name: &str) -> Option<TimeZone> {
    let zone = TimeZone::get(name).ok()?;
    (name.len() <= MAX_TEXT_BYTES && !zone.is_unknown()).then_some(zone)
}
