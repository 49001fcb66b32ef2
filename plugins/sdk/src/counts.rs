//! Arithmetic on counters of waves.

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

    /// Devices with an open update.
    pub const fn in_flight(&self) -> u64 {
        self.offered + self.in_progress
    }

    /// Ended devices without the cancelled ones, which say nothing about the firmware.
    pub const fn conclusive(&self) -> u64 {
        self.completed + self.failed + self.timed_out + self.rejected
    }

    /// Devices whose update has ended.
    pub const fn ended(&self) -> u64 {
        self.conclusive() + self.cancelled
    }

    /// All devices.
    pub const fn total(&self) -> u64 {
        self.pending + self.in_flight() + self.ended()
    }

    /// Sum of both.
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
    /// True if any device was released.
    pub const fn is_open(&self) -> bool {
        self.released > 0
    }

    /// True if every device has ended.
    pub const fn has_ended(&self) -> bool {
        self.counts.pending + self.counts.in_flight() == 0
    }

    /// Released devices that have not ended. Released devices without an update count, and so do devices in flight
    /// beyond the release level.
    pub fn outstanding(&self) -> u64 {
        let carried_out = self.counts.in_flight();
        carried_out.max(self.released.saturating_sub(self.counts.ended()))
    }

    /// Completed devices required for this share of success. Cancelled devices are not counted.
    pub fn required_successes(&self, success: Percent) -> u64 {
        success.of(self.size.saturating_sub(self.counts.cancelled))
    }

    /// True if enough devices have completed for this share of success.
    pub fn has_succeeded(&self, success: Percent) -> bool {
        self.counts.completed >= self.required_successes(success)
    }
}
