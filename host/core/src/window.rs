//! Maintenance windows: when an update may be installed.

mod schedule;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use self::schedule::Schedule;
use crate::{plugin::FieldError, time::Timestamp};

/// Shortest window.
pub const MIN_WINDOW: Duration = Duration::from_mins(1);
/// Longest window.
pub const MAX_WINDOW: Duration = Duration::from_hours(7 * 24);

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
    schedule: Schedule,
    /// The last searches: no window opens after the first moment and before the second, which does not come when none.
    /// There are two: of the opening that a window stands by, and of the one after it.
    opening_cache: Mutex<[Option<CachedOpening>; 2]>,
}

type CachedOpening = (Timestamp, Option<Timestamp>);

/// Whether a window is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
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

impl WindowState {
    /// Whether it is open.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

impl MaintenanceWindow {
    /// The window, or every rule that its description breaks; the paths are JSON pointers.
    pub fn new(spec: WindowSpec) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut report = |path: &str, message: String| {
            let path = path.to_owned();
            errors.push(FieldError { path, message });
        };
        let cron = schedule::parse_cron(&spec.schedule);
        if let Err(message) = &cron {
            report("/schedule", message.clone());
        }
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&spec.duration) {
            let message = "must be between 00:01:00 and 168:00:00";
            report("/duration", message.to_owned());
        }
        let zone = schedule::parse_time_zone(&spec.timezone);
        if zone.is_none() {
            let message = "must be the name of a time zone, such as Europe/Berlin";
            report("/timezone", message.to_owned());
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
        self.state(now).is_open()
    }

    /// How it stands, and what happens to it next.
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

    /// The first opening later than that; none: there is none.
    pub fn next_opening(&self, after: Timestamp) -> Option<Timestamp> {
        let mut opening_cache = self
            .opening_cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
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

    /// From when on silence counts against a device that is offered an update now: a device that waits for the window
    /// is not late. A window that is open counts if what is left of it is as long as the device has.
    pub fn timeout_start(&self, now: Timestamp, timeout: Duration) -> Timestamp {
        match self.state(now) {
            WindowState::Open { closes_at } if closes_at.since(now) >= timeout => now,
            _ => self.next_opening(now).unwrap_or(now),
        }
    }

    /// How it stands, for people: by its own clock.
    pub fn describe(&self, now: Timestamp) -> String {
        let local = |moment| self.schedule.format_local(moment);
        let timezone = &self.spec.timezone;
        match self.state(now) {
            WindowState::Open { .. } => "its maintenance window is open".to_owned(),
            WindowState::Closed { opens_at } => match opens_at.and_then(local) {
                Some(moment) => {
                    format!("its maintenance window is closed, and opens at {moment} ({timezone})")
                }
                None => "its maintenance window is closed, and does not open any more".to_owned(),
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
