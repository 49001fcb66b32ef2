//! Maintenance windows: when updates may be installed.

mod cron_fields;
mod schedule;
#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use parking_lot::Mutex;

use self::schedule::Schedule;
use crate::{plugin::FieldError, time::Timestamp};

/// Minimum duration of a window.
pub const MIN_WINDOW: Duration = Duration::from_mins(1);
/// Maximum duration of a window.
pub const MAX_WINDOW: Duration = Duration::from_hours(7 * 24);

/// Definition of a maintenance window.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WindowSpec {
    /// Opening times as cron: five fields, or six or seven (seconds first, year last) with Quartz's numbering of
    /// weekdays, where Sunday is 1. Ranges may go round.
    pub schedule: String,
    /// Duration of an opening: a minute to a week.
    pub duration: Duration,
    /// Time zone of the schedule: an IANA name or a fixed offset, `Z` or `+03:00`.
    pub timezone: String,
    /// Allows devices to download before the window opens.
    pub prefetch: bool,
}

/// A maintenance window. Overlapping openings merge.
pub struct MaintenanceWindow {
    spec: WindowSpec,
    schedule: Schedule,
    /// The last two search results `(from, opening)`: no opening lies strictly between `from` and `opening`; `None`:
    /// there is none after `from`. One entry is the current opening, the other the next.
    opening_cache: Mutex<[Option<CachedOpening>; 2]>,
}

type CachedOpening = (Timestamp, Option<Timestamp>);

/// State of a window at a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
    /// Open.
    Open {
        /// When it closes, unless another opening overlaps.
        closes_at: Timestamp,
    },
    /// Closed.
    Closed {
        /// When it opens next; `None`: never.
        opens_at: Option<Timestamp>,
    },
}

impl WindowState {
    /// True if the window is open.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

impl MaintenanceWindow {
    /// Parses a definition, or returns all broken rules; paths have the names of the fields, separated by dots.
    pub fn new(spec: WindowSpec) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut report = |path: &str, message: String| {
            let path = path.to_owned();
            errors.push(FieldError { path, message });
        };
        let cron = schedule::parse_cron(&spec.schedule);
        if let Err(message) = &cron {
            report("schedule", message.clone());
        }
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&spec.duration) {
            let message = "must be between 00:01:00 and 168:00:00";
            report("duration", message.to_owned());
        }
        let zone = schedule::parse_time_zone(&spec.timezone);
        if zone.is_none() {
            let message = "must be an IANA time zone, such as Europe/Berlin, or a fixed offset, such as +03:00 or Z";
            report("timezone", message.to_owned());
        }
        match (cron, zone, errors.is_empty()) {
            (Ok(cron), Some(zone), true) => Ok(Self {
                spec,
                schedule: Schedule { cron, zone },
                opening_cache: Mutex::default(),
            }),
            _ => Err(errors),
        }
    }

    /// The definition.
    pub fn spec(&self) -> &WindowSpec {
        &self.spec
    }

    /// True if devices may download before the window opens.
    pub fn prefetches(&self) -> bool {
        self.spec.prefetch
    }

    /// True if the window is open at `now`.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.state(now).is_open()
    }

    /// State at `now`.
    pub fn state(&self, now: Timestamp) -> WindowState {
        let duration = self.spec.duration;
        let earliest = Timestamp(now.0.saturating_sub(duration.as_millis() as i64));
        match self.next_opening(earliest) {
            Some(opened) if opened <= now => WindowState::Open {
                closes_at: opened.plus(duration),
            },
            opens_at => WindowState::Closed { opens_at },
        }
    }

    /// The first opening after `after`; `None`: there is none.
    pub fn next_opening(&self, after: Timestamp) -> Option<Timestamp> {
        let mut opening_cache = self.opening_cache.lock();
        let covers = |(from, opening): &&CachedOpening| {
            *from <= after && opening.is_none_or(|opening| after < opening)
        };
        if let Some((_, opening)) = opening_cache.iter().flatten().find(covers) {
            return *opening;
        }
        let opening = self.schedule.next(after);
        *opening_cache = [Some((after, opening)), opening_cache[0]];
        opening
    }

    /// When a timeout starts for an update that is offered at `now`: at the next opening, since a device that waits
    /// for the window is not late. It starts at `now` if the window stays open for at least `timeout`.
    pub fn timeout_start(&self, now: Timestamp, timeout: Duration) -> Timestamp {
        match self.state(now) {
            WindowState::Open { closes_at } if closes_at.since(now) >= timeout => now,
            _ => self.next_opening(now).unwrap_or(now),
        }
    }

    /// Describes the state at `now` for operators, in the window's time zone.
    pub fn describe(&self, now: Timestamp) -> String {
        let local = |moment| self.schedule.format_local(moment);
        let timezone = &self.spec.timezone;
        match self.state(now) {
            WindowState::Open { .. } => "its maintenance window is open".to_owned(),
            WindowState::Closed { opens_at } => match opens_at.and_then(local) {
                Some(moment) => {
                    format!("its maintenance window is closed and opens at {moment} ({timezone})")
                }
                None => "its maintenance window is closed and will not open again".to_owned(),
            },
        }
    }
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
