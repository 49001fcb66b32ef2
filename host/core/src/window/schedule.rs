//! Cron schedules in the civil time of a time zone.

use croner::{Cron, parser::CronParser};
use jiff::{
    SignedDuration,
    civil::DateTime,
    tz::{AmbiguousOffset, Offset, TimeZone, offset},
};

use super::cron_fields::fields_of;
use crate::time::Timestamp;

/// Maximum length of a schedule and of a time zone's name, in bytes.
const MAX_TEXT_BYTES: usize = 200;
/// Offset from UTC of the westernmost time zone.
const MIN_OFFSET: Offset = offset(-12);
/// Offset from UTC of the easternmost time zone.
const MAX_OFFSET: Offset = offset(14);
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

/// Parses cron: five fields as in Unix, more as in Quartz. Ranges may go round: `FRI-MON`, `22-2`, `NOV-FEB`.
pub(super) fn parse_cron(schedule: &str) -> Result<Cron, String> {
    if schedule.len() > MAX_TEXT_BYTES || !schedule.is_ascii() {
        return Err("must be cron in at most 200 ASCII characters".to_owned());
    }
    let texts: Vec<&str> = schedule.split_ascii_whitespace().collect();
    if let [nickname] = texts[..]
        && nickname.starts_with('@')
    {
        return parse(nickname, false).ok_or_else(|| {
            let known = "@yearly, @monthly, @weekly, @daily or @hourly";
            format!("`{nickname}` is not a schedule: use {known}, or cron such as `0 2 * * SUN`")
        });
    }
    let fields = fields_of(texts.len()).ok_or_else(|| {
        format!(
            "must be cron, such as `0 2 * * SUN`: five fields (minute, hour, day of the month, month, weekday), or six or \
             seven with the second first and the year last; this has {}",
            texts.len()
        )
    })?;
    let is_quartz = texts.len() > 5;
    let unrolled = fields.iter().zip(&texts);
    let unrolled: Vec<_> = unrolled.map(|(field, text)| field.unrolled(text)).collect();
    parse(&unrolled.join(" "), is_quartz).ok_or_else(|| {
        let is_valid_alone = |at: usize| {
            let mut alone = vec!["*"; texts.len()];
            alone[at] = &unrolled[at];
            parse(&alone.join(" "), is_quartz).is_some()
        };
        match (0..texts.len()).find(|at| !is_valid_alone(*at)) {
            Some(at) => fields[at].invalid(texts[at]),
            None => {
                "must be cron, such as `0 2 * * SUN`: these fields cannot be combined".to_owned()
            }
        }
    })
}

fn parse(schedule: &str, is_quartz: bool) -> Option<Cron> {
    let parser = CronParser::builder()
        .alternative_weekdays(is_quartz)
        .sloppy_ranges(is_quartz)
        .build();
    parser.parse(schedule).ok()
}

/// An IANA time zone, or a fixed offset: `Z` or `+03:00`.
pub(super) fn parse_time_zone(name: &str) -> Option<TimeZone> {
    if let Some(offset) = fixed_offset(name) {
        return Some(TimeZone::fixed(offset));
    }
    let zone = TimeZone::get(name).ok()?;
    (name.len() <= MAX_TEXT_BYTES && !zone.is_unknown()).then_some(zone)
}

/// `Z`, or hours and minutes with a sign, from [`MIN_OFFSET`] to [`MAX_OFFSET`].
fn fixed_offset(name: &str) -> Option<Offset> {
    if name == "Z" {
        return Some(Offset::UTC);
    }
    let &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = name.as_bytes() else {
        return None;
    };
    let number = |tens: u8, ones: u8| {
        let are_digits = tens.is_ascii_digit() && ones.is_ascii_digit();
        are_digits.then(|| i32::from(tens - b'0') * 10 + i32::from(ones - b'0'))
    };
    let (hours, minutes) = (number(h1, h2)?, number(m1, m2)?);
    if minutes > 59 {
        return None;
    }
    let seconds = (hours * 60 + minutes) * 60;
    let offset = Offset::from_seconds(if sign == b'-' { -seconds } else { seconds }).ok()?;
    (MIN_OFFSET..=MAX_OFFSET)
        .contains(&offset)
        .then_some(offset)
}
