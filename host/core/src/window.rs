//! Maintenance windows: when an update may be installed.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use croner::{Cron, parser::CronParser};
use jiff::{
    SignedDuration,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use crate::{plugin::FieldError, time::Timestamp};

/// Shortest window.
pub const SHORTEST: Duration = Duration::from_mins(1);
/// Longest window.
pub const LONGEST: Duration = Duration::from_hours(7 * 24);
/// Longest text of a schedule, and of a time zone, in bytes.
const MAX_TEXT: usize = 200;
/// Most moments of a schedule that are looked at for one opening: those of an hour that a clock goes through twice.
const MOST_SKIPPED: usize = 2 * 60 * 60;

/// A window as somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WindowSpec {
    /// When it opens: cron, with five fields, or with six or seven (seconds first, the year last) and Quartz's week, in
    /// which Sunday is 1.
    pub schedule: String,
    /// How long it is open: a minute to a week.
    pub duration: Duration,
    /// Whose clock the schedule goes by: an IANA name.
    pub timezone: String,
    /// Whether devices may fetch the files before it opens.
    pub prefetch: bool,
}

/// A maintenance window. Windows that overlap are one.
pub struct MaintenanceWindow {
    spec: WindowSpec,
    cron: Cron,
    zone: TimeZone,
    /// The last searches: no window opens after the first moment and before the second, which does not come when none.
    /// There are two: of the opening that a window stands by, and of the one after it.
    found: Mutex<[Option<Found>; 2]>,
}

type Found = (Timestamp, Option<Timestamp>);

/// Whether a window is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Open, at least until then.
    Open {
        /// When it closes, unless it opens again before.
        closes_at: Timestamp,
    },
    /// Closed.
    Closed {
        /// When it opens next; none: never.
        opens_at: Option<Timestamp>,
    },
}

impl Standing {
    /// Whether it is open.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

impl MaintenanceWindow {
    /// The window, or every rule that its description breaks; the paths are JSON pointers.
    pub fn new(spec: WindowSpec) -> Result<Self, Vec<FieldError>> {
        let mut broken = Vec::new();
        let mut rule = |path: &str, message: String| {
            let path = path.to_owned();
            broken.push(FieldError { path, message });
        };
        let cron = parse(&spec.schedule);
        if let Err(message) = &cron {
            rule("/schedule", message.clone());
        }
        if !(SHORTEST..=LONGEST).contains(&spec.duration) {
            let message = "must be between 00:01:00 and 168:00:00";
            rule("/duration", message.to_owned());
        }
        let zone = zone(&spec.timezone);
        if zone.is_none() {
            let message = "must be the name of a time zone, such as Europe/Berlin";
            rule("/timezone", message.to_owned());
        }
        match (cron, zone, broken.is_empty()) {
            (Ok(cron), Some(zone), true) => Ok(Self {
                spec,
                cron,
                zone,
                found: Mutex::default(),
            }),
            _ => Err(broken),
        }
    }

    /// As it was asked for.
    pub fn spec(&self) -> &WindowSpec {
        &self.spec
    }

    /// Whether devices may fetch the files before it opens.
    pub fn prefetches(&self) -> bool {
        self.spec.prefetch
    }

    /// Whether it is open now.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.standing(now).is_open()
    }

    /// How it stands, and what happens to it next.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let duration = self.spec.duration;
        let earliest = Timestamp(now.0.saturating_sub(duration.as_millis() as i64));
        match self.next_opening(earliest) {
            Some(opened) if opened <= now => Standing::Open {
                closes_at: opened.plus(duration),
            },
            opens_at => Standing::Closed { opens_at },
        }
    }

    /// The first opening later than that; none: there is none.
    pub fn next_opening(&self, after: Timestamp) -> Option<Timestamp> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |(from, opening): &&Found| {
            *from <= after && opening.is_none_or(|opening| after < opening)
        };
        if let Some((_, opening)) = found.iter().flatten().find(fits) {
            return *opening;
        }
        let opening = self.search(after);
        *found = [Some((after, opening)), found[0]];
        opening
    }

    /// From when on silence counts against a device that is offered an update now: a device that waits for the window
    /// is not late. A window that is open counts if what is left of it is as long as the device has.
    pub fn time_runs_from(&self, now: Timestamp, timeout: Duration) -> Timestamp {
        match self.standing(now) {
            Standing::Open { closes_at } if closes_at.since(now) >= timeout => now,
            _ => self.next_opening(now).unwrap_or(now),
        }
    }

    /// How it stands, for people: by its own clock.
    pub fn in_words(&self, now: Timestamp) -> String {
        let shown = |moment: Timestamp| {
            let moment = jiff::Timestamp::from_millisecond(moment.0).ok()?;
            let there = moment.to_zoned(self.zone.clone());
            Some(there.strftime("%Y-%m-%d %H:%M:%S %Z").to_string())
        };
        let place = &self.spec.timezone;
        match self.standing(now) {
            Standing::Open { .. } => "its maintenance window is open".to_owned(),
            Standing::Closed { opens_at } => match opens_at.and_then(shown) {
                Some(moment) => {
                    format!("its maintenance window is closed, and opens at {moment} ({place})")
                }
                None => "its maintenance window is closed, and does not open any more".to_owned(),
            },
        }
    }

    fn search(&self, after: Timestamp) -> Option<Timestamp> {
        let moment = jiff::Timestamp::from_millisecond(after.0).ok()?;
        let mut civil = self.zone.to_datetime(moment);
        for _ in 0..MOST_SKIPPED {
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
                let beyond = before.to_timestamp(civil).ok()?;
                let after = beyond.checked_add(SignedDuration::from_secs(1)).ok()?;
                let mut earlier = self.zone.preceding(after);
                earlier.next().map(|transition| transition.timestamp())
            }
            _ => self.zone.to_ambiguous_timestamp(civil).compatible().ok(),
        }
    }
}

fn parse(schedule: &str) -> Result<Cron, String> {
    if schedule.len() > MAX_TEXT || !schedule.is_ascii() {
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

fn zone(name: &str) -> Option<TimeZone> {
    let zone = TimeZone::get(name).ok()?;
    (name.len() <= MAX_TEXT && !zone.is_unknown()).then_some(zone)
}

impl fmt::Debug for MaintenanceWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MaintenanceWindow")
            .field(&self.spec)
            .finish()
    }
}

impl PartialEq for MaintenanceWindow {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

impl Eq for MaintenanceWindow {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().expect("a moment");
        Timestamp(moment.as_millisecond())
    }

    fn window(schedule: &str, minutes: u64, timezone: &str) -> MaintenanceWindow {
        MaintenanceWindow::new(WindowSpec {
            schedule: schedule.to_owned(),
            duration: Duration::from_mins(minutes),
            timezone: timezone.to_owned(),
            ..WindowSpec::default()
        })
        .expect("a good window")
    }

    fn openings(window: &MaintenanceWindow, after: &str, count: usize) -> Vec<String> {
        let mut moment = at(after);
        let mut openings = Vec::new();
        for _ in 0..count {
            let Some(next) = window.next_opening(moment) else {
                break;
            };
            moment = next;
            let shown = jiff::Timestamp::from_millisecond(next.0).expect("in range");
            openings.push(shown.to_string());
        }
        openings
    }

    #[test]
    fn schedules_are_cron_as_unix_and_as_quartz_have_it() {
        // The first of May 2026 is a Friday.
        for (schedule, expected) in [
            ("0 2 * * *", "2026-05-02T02:00:00Z"),
            ("30 2 * * 0", "2026-05-03T02:30:00Z"),
            ("30 2 * * 7", "2026-05-03T02:30:00Z"),
            ("30 2 * * SUN", "2026-05-03T02:30:00Z"),
            ("30 2 * * 1", "2026-05-04T02:30:00Z"),
            ("0 30 2 ? * 1", "2026-05-03T02:30:00Z"),
            ("0 30 2 ? * 1 *", "2026-05-03T02:30:00Z"),
            ("0 30 2 ? * MON-FRI", "2026-05-04T02:30:00Z"),
            ("15 30 2 ? * SAT 2027", "2027-01-02T02:30:15Z"),
            ("0 0/15 2 ? * *", "2026-05-02T02:00:00Z"),
            ("0 0 3 L * ?", "2026-05-31T03:00:00Z"),
            ("0 3 * * MON#1", "2026-05-04T03:00:00Z"),
            ("*/20 * * * *", "2026-05-01T12:20:00Z"),
            ("0 12 1 5 *", "2027-05-01T12:00:00Z"),
            ("@daily", "2026-05-02T00:00:00Z"),
        ] {
            let window = window(schedule, 60, "UTC");
            let next = openings(&window, "2026-05-01T12:00:00Z", 1);
            assert_eq!(next, [expected], "{schedule}");
        }
    }

    #[test]
    fn a_window_is_open_for_as_long_as_it_says() {
        let window = window("0 2 * * *", 90, "Europe/Berlin");
        let open = |closes_at| Standing::Open {
            closes_at: at(closes_at),
        };
        let closed = |opens_at| Standing::Closed {
            opens_at: Some(at(opens_at)),
        };
        for (now, expected) in [
            ("2026-05-01T23:59:59.999Z", closed("2026-05-02T00:00:00Z")),
            ("2026-05-02T00:00:00Z", open("2026-05-02T01:30:00Z")),
            ("2026-05-02T01:29:59.999Z", open("2026-05-02T01:30:00Z")),
            ("2026-05-02T01:30:00Z", closed("2026-05-03T00:00:00Z")),
            // Asked again about what was before.
            ("2026-05-01T12:00:00Z", closed("2026-05-02T00:00:00Z")),
            ("2026-01-01T12:00:00Z", closed("2026-01-02T01:00:00Z")),
        ] {
            assert_eq!(window.standing(at(now)), expected, "{now}");
        }
    }

    #[test]
    fn windows_that_overlap_are_one() {
        let window = window("0 * * * *", 90, "UTC");
        for minute in 0..600 {
            let now = at("2026-05-01T00:00:00Z").plus(Duration::from_mins(minute));
            assert!(window.standing(now).is_open(), "minute {minute}");
        }
    }

    #[test]
    fn the_night_in_which_the_clock_goes_forward_has_its_window() {
        // From 02:00 to 03:00, at 01:00 UTC.
        let skipped = window("30 2 * * *", 60, "Europe/Berlin");
        assert_eq!(
            openings(&skipped, "2026-03-28T00:00:00Z", 3),
            [
                "2026-03-28T01:30:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-30T00:30:00Z"
            ]
        );
        let just_after = at("2026-03-29T01:00:00Z");
        assert!(skipped.standing(just_after).is_open());
        // What stands just behind the gap is not moved.
        let behind = window("15 3 * * *", 60, "Europe/Berlin");
        assert_eq!(
            openings(&behind, "2026-03-29T00:59:59Z", 1),
            ["2026-03-29T01:15:00Z"]
        );
        let both = window("30 2,3 * * *", 10, "Europe/Berlin");
        assert_eq!(
            openings(&both, "2026-03-29T00:00:00Z", 3),
            [
                "2026-03-29T01:00:00Z",
                "2026-03-29T01:30:00Z",
                "2026-03-30T00:30:00Z"
            ]
        );
    }

    #[test]
    fn the_night_in_which_the_clock_goes_back_has_one_window() {
        // From 03:00 to 02:00, at 01:00 UTC.
        let twice = window("30 2 * * *", 10, "Europe/Berlin");
        assert_eq!(
            openings(&twice, "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        let hourly = window("0 * * * *", 10, "Europe/Berlin");
        assert_eq!(
            openings(&hourly, "2026-10-24T23:30:00Z", 3),
            [
                "2026-10-25T00:00:00Z",
                "2026-10-25T02:00:00Z",
                "2026-10-25T03:00:00Z"
            ]
        );
        let always = window("* * * * * *", 1, "Europe/Berlin");
        assert!(always.next_opening(at("2026-10-25T01:00:00Z")).is_some());
    }

    #[test]
    fn a_schedule_may_come_to_its_end() {
        let past = window("0 0 2 ? * * 2025", 60, "UTC");
        assert_eq!(past.next_opening(at("2026-01-01T00:00:00Z")), None);
        let closed = Standing::Closed { opens_at: None };
        assert_eq!(past.standing(at("2026-01-01T00:00:00Z")), closed);
        let never = window("0 2 30 2 *", 60, "UTC");
        assert_eq!(never.next_opening(at("2026-01-01T00:00:00Z")), None);
        assert_eq!(never.next_opening(Timestamp(i64::MAX)), None);
        assert_eq!(never.next_opening(Timestamp(i64::MIN)), None);
        assert!(
            window("0 2 * * *", 60, "UTC").standing(Timestamp(0))
                == Standing::Closed {
                    opens_at: Some(Timestamp(2 * 60 * 60 * 1000))
                }
        );
    }

    #[test]
    fn who_waits_for_the_window_is_not_late() {
        let window = window("0 2 * * *", 60, "UTC");
        let hour = Duration::from_hours(1);
        let day = Duration::from_hours(24);
        for (now, timeout, expected) in [
            ("2026-05-01T12:00:00Z", hour, "2026-05-02T02:00:00Z"),
            ("2026-05-02T02:00:00Z", hour, "2026-05-02T02:00:00Z"),
            ("2026-05-02T02:30:00Z", hour / 2, "2026-05-02T02:30:00Z"),
            ("2026-05-02T02:30:00Z", hour, "2026-05-03T02:00:00Z"),
            ("2026-05-02T02:00:00Z", day, "2026-05-03T02:00:00Z"),
        ] {
            assert_eq!(
                window.time_runs_from(at(now), timeout),
                at(expected),
                "{now} {timeout:?}"
            );
        }
    }

    #[test]
    fn fuzz_schedule() {
        bolero::check!(name = "schedule").for_each(|bytes: &[u8]| {
            let window = MaintenanceWindow::new(WindowSpec {
                schedule: String::from_utf8_lossy(bytes).into_owned(),
                duration: Duration::from_hours(1),
                timezone: "Europe/Berlin".to_owned(),
                prefetch: false,
            });
            if let Ok(window) = window {
                let _ = window.in_words(at("2026-03-29T00:30:00Z"));
                let _ = window.next_opening(at("2026-10-25T00:30:00Z"));
            }
        });
    }

    #[test]
    fn broken_rules_are_named() {
        let good = window("0 2 * * *", 60, "UTC").spec;
        let broken = |spec| {
            let broken = MaintenanceWindow::new(spec).err().unwrap_or_default();
            let paths = broken.into_iter().map(|error| error.path);
            paths.collect::<Vec<_>>().join(" ")
        };
        for schedule in [
            "",
            "2",
            "0 2 * *",
            "0 2 * * * * * *",
            "60 2 * * *",
            "0 25 * * *",
            "0 2 * * NODAY",
            "0 2 * * *; rm",
            "+ + + + +",
            "0 0/0 2 ? * *",
            "é 2 * * *",
            &"0 ".repeat(200),
            &format!("{} 2 * * *", "9".repeat(150)),
        ] {
            let schedule = schedule.to_owned();
            assert_eq!(
                broken(WindowSpec {
                    schedule: schedule.clone(),
                    ..good.clone()
                }),
                "/schedule",
                "{schedule}"
            );
        }
        for timezone in [
            "",
            "Berlin",
            "Europe/Atlantis",
            "Etc/Unknown",
            "../UTC",
            "+02:00",
        ] {
            let timezone = timezone.to_owned();
            assert_eq!(
                broken(WindowSpec {
                    timezone: timezone.clone(),
                    ..good.clone()
                }),
                "/timezone",
                "{timezone}"
            );
        }
        for seconds in [0, 59, 7 * 24 * 60 * 60 + 1] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(
                broken(WindowSpec {
                    duration,
                    ..good.clone()
                }),
                "/duration"
            );
        }
        assert_eq!(
            broken(WindowSpec::default()),
            "/schedule /duration /timezone"
        );
    }
}
