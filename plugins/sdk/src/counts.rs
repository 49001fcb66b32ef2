//! Arithmetic that every plugin does with a wave's counters.

use crate::{
    Percent,
    types::{Counts, WaveReport},
};

impl Counts {
    /// All zero.
    pub const fn zero() -> Self {
        Self {
            pending: 0,
            offered: 0,
            in_progress: 0,
            completed: 0,
            failed: 0,
            timed_out: 0,
            cancelled: 0,
            rejected: 0,
        }
    }

    /// Devices admitted and not at an end.
    pub const fn in_flight(&self) -> u64 {
        self.offered + self.in_progress
    }

    /// Devices at an end of their own: all but those that were called back, which say nothing about a firmware.
    pub const fn conclusive(&self) -> u64 {
        self.completed + self.failed + self.timed_out + self.rejected
    }

    /// Devices at an end.
    pub const fn ended(&self) -> u64 {
        self.conclusive() + self.cancelled
    }

    /// All devices.
    pub const fn total(&self) -> u64 {
        self.pending + self.in_flight() + self.ended()
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            pending: self.pending + other.pending,
            offered: self.offered + other.offered,
            in_progress: self.in_progress + other.in_progress,
            completed: self.completed + other.completed,
            failed: self.failed + other.failed,
            timed_out: self.timed_out + other.timed_out,
            cancelled: self.cancelled + other.cancelled,
            rejected: self.rejected + other.rejected,
        }
    }
}

impl WaveReport {
    /// Whether any of its devices was released.
    pub const fn is_open(&self) -> bool {
        self.released > 0
    }

    /// Whether every one of its devices has ended.
    pub const fn has_ended(&self) -> bool {
        self.counts.pending + self.counts.in_flight() == 0
    }

    /// Devices released that may still be, or come, in flight. A level that is not yet carried out counts whole, and
    /// so does a device that is out although the level does not say so.
    pub fn outstanding(&self) -> u64 {
        let carried_out = self.counts.in_flight();
        carried_out.max(self.released.saturating_sub(self.counts.ended()))
    }

    /// How many devices have to complete for this share of success. Devices that were called back do not count.
    pub fn required_successes(&self, success: Percent) -> u64 {
        success.of(self.size.saturating_sub(self.counts.cancelled))
    }

    /// Whether enough devices have completed for this share of success.
    pub fn has_succeeded(&self, success: Percent) -> bool {
        self.counts.completed >= self.required_successes(success)
    }
}
