//! Cron schedules in the civil time of a time zone.

use croner::{Cron, parser::CronParser};
use jiff::{
    SignedDuration,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use crate::time::Timestamp;

/// Maximum length of a schedule and of a time zone's name, in bytes.
const MAX_TEXT_BYTES: usize = 200;
/// Maximum occurrences examined for one opening: one per second over both passes of a repeated hour.
const MAX_SKIPPED_OCCURRENCES: usize = 2 * 60 * 60;

/// A recurring schedule.
pub(super) struct Schedule {
    pub(super) cron: Cron,
    pub(super) zone: TimeZone,
}

impl Schedule {
    /// The first occurrence after `after`; `None`: there is none.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let moment = jiff::Timestamp::from_millisecond(after.0).ok()?;
        let mut civil = self.zone.to_datetime(moment);
        for _ in 0..MAX_SKIPPED_OCCURRENCES {
            civil = self.cron.find_next_occurrence(&civil, false).ok()?;
            // An occurrence in a repeated hour counts the first time.
            let opening = self.moment(civil)?;
            if opening > moment {
                return Some(Timestamp(opening.as_millisecond()));
            }
        }
        None
    }

    /// The first time at which the clock shows `civil`. If a transition skips it, the time of the transition.
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

    /// Formats a time in the schedule's time zone.
    pub(super) fn format_local(&self, moment: Timestamp) -> Option<String> {
        let moment = jiff::Timestamp::from_millisecond(moment.0).ok()?;
        let local = moment.to_zoned(self.zone.clone());
        Some(local.strftime("%Y-%m-%d %H:%M:%S %Z").to_string())
    }
}

/// Parses cron: five fields as in Unix, more as in Quartz.
pub(super) fn parse_cron(schedule: &str) -> Result<Cron, String> {
    if schedule.len() > MAX_TEXT_BYTES || !schedule.is_ascii() {
        return Err("must be cron in at most 200 ASCII characters".to_owned());
    }
    let is_quartz = schedule.split_ascii_whitespace().count() > 5;
    let parser = CronParser::builder()
        .alternative_weekdays(is_quartz)
        .sloppy_ranges(is_quartz)
        .build();
    let parsed = parser.parse(schedule);
    parsed.map_err(|error| format!("must be cron, such as `0 2 * * SUN`: {error}"))
}

pub(super) fn parse_time_zone(name: &str) -> Option<TimeZone> {
    let zone = TimeZone::get(name).ok()?;
    (name.len() <= MAX_TEXT_BYTES && !zone.is_unknown()).then_some(zone)
}
