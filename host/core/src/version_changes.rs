//! How often a device changes its version.

use std::time::Duration;

use crate::time::Timestamp;

/// Maximum changes of a device's version in an hour. With more, the version is unstable.
pub const MAX_VERSION_CHANGES_PER_HOUR: u32 = 60;

const HOUR: Duration = Duration::from_hours(1);

/// The changes of a device's version in the hour of its last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionChanges {
    /// Start of the hour: the first change after the hour before, or its end while the version is unstable.
    pub hour_at: Timestamp,
    /// Changes in the hour.
    pub count: u32,
    /// Whether there were too many in this hour, or in one before it that no calm hour followed.
    pub is_unstable: bool,
}

impl VersionChanges {
    /// No changes.
    pub const NONE: Self = Self {
        hour_at: Timestamp(0),
        count: 0,
        is_unstable: false,
    };

    /// Counts a change.
    pub fn add(&mut self, now: Timestamp) {
        self.end_instability(now);
        let end = self.hour_at.plus(HOUR);
        if now >= end {
            self.hour_at = if self.is_unstable { end } else { now };
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.is_unstable |= self.count > MAX_VERSION_CHANGES_PER_HOUR;
    }

    /// Ends the instability if a calm hour has passed.
    pub fn end_instability(&mut self, now: Timestamp) {
        if self.unstable_until().is_some_and(|until| now >= until) {
            *self = Self::NONE;
        }
    }

    /// The end of the next hour with at most [`MAX_VERSION_CHANGES_PER_HOUR`] changes, if no more follow; `None`: the
    /// version is stable.
    pub fn unstable_until(&self) -> Option<Timestamp> {
        let is_calm = self.count <= MAX_VERSION_CHANGES_PER_HOUR;
        let calm_hour_at = if is_calm {
            self.hour_at
        } else {
            self.hour_at.plus(HOUR)
        };
        self.is_unstable.then(|| calm_hour_at.plus(HOUR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(minutes: i64) -> Timestamp {
        Timestamp(1_000_000_000 + minutes * 60_000)
    }

    fn changes(per_minute: &[(i64, u32)]) -> VersionChanges {
        let mut changes = VersionChanges::NONE;
        for (at, count) in per_minute {
            for _ in 0..*count {
                changes.add(minute(*at));
            }
        }
        changes
    }

    #[test]
    fn more_than_60_changes_in_an_hour_are_unstable() {
        assert!(!changes(&[(0, 60)]).is_unstable);
        assert!(changes(&[(0, 61)]).is_unstable);
        assert!(changes(&[(0, 30), (59, 31)]).is_unstable);
        // Another hour.
        assert!(!changes(&[(0, 60), (60, 60)]).is_unstable);
    }

    #[test]
    fn the_next_calm_hour_ends_the_instability() {
        let mut unstable = changes(&[(0, 61)]);
        assert_eq!(unstable.unstable_until(), Some(minute(120)));
        unstable.end_instability(minute(119));
        assert!(unstable.is_unstable);
        unstable.end_instability(minute(120));
        assert_eq!(unstable, VersionChanges::NONE);
        // The hour of the change at minute 70 is calm, and ends at the same time.
        let calm = changes(&[(0, 61), (70, 1)]);
        assert_eq!(calm.unstable_until(), Some(minute(120)));
        // The second hour is not calm.
        let longer = changes(&[(0, 61), (70, 61)]);
        assert_eq!(longer.unstable_until(), Some(minute(180)));
        // A change after the calm hour is the first one.
        let later = changes(&[(0, 61), (120, 1)]);
        assert_eq!((later.count, later.is_unstable), (1, false));
    }

    #[test]
    fn a_clock_that_goes_back_starts_no_hour() {
        assert!(changes(&[(30, 60), (0, 1)]).is_unstable);
    }
}
