//! Waves and the counters of their devices.

use strum::{IntoStaticStr, VariantArray};

use crate::{measurement::Durations, time::Timestamp};

/// Counter group of a device in its wave, as operators and plugins see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Bucket {
    /// Not released.
    Pending,
    /// Offered the update, not started.
    Offered,
    /// Downloading, installing, verifying or cancelling.
    InProgress,
    /// Completed.
    Completed,
    /// Failed.
    Failed,
    /// Timed out.
    TimedOut,
    /// Cancelled before it completed.
    Cancelled,
    /// Denied at the device.
    Rejected,
}

/// Number of devices in each bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field counts the bucket of that name")]
pub struct Counts {
    pub pending: u64,
    pub offered: u64,
    pub in_progress: u64,
    pub completed: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub cancelled: u64,
    pub rejected: u64,
}

impl Counts {
    /// The count of one bucket.
    pub fn get(&self, bucket: Bucket) -> u64 {
        let mut copy = *self;
        *copy.slot(bucket)
    }

    /// Mutable access to the count of one bucket.
    pub fn slot(&mut self, bucket: Bucket) -> &mut u64 {
        match bucket {
            Bucket::Pending => &mut self.pending,
            Bucket::Offered => &mut self.offered,
            Bucket::InProgress => &mut self.in_progress,
            Bucket::Completed => &mut self.completed,
            Bucket::Failed => &mut self.failed,
            Bucket::TimedOut => &mut self.timed_out,
            Bucket::Cancelled => &mut self.cancelled,
            Bucket::Rejected => &mut self.rejected,
        }
    }

    /// Devices with an open update.
    pub fn in_flight(&self) -> u64 {
        self.offered + self.in_progress
    }

    /// Devices whose update has ended.
    pub fn finished(&self) -> u64 {
        self.completed + self.unsuccessful() + self.cancelled + self.rejected
    }

    /// Devices that failed or timed out.
    pub fn unsuccessful(&self) -> u64 {
        self.failed + self.timed_out
    }

    /// All devices.
    pub fn total(&self) -> u64 {
        self.pending + self.in_flight() + self.finished()
    }

    /// Sum of both.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for &bucket in Bucket::VARIANTS {
            *self.slot(bucket) += other.get(bucket);
        }
        self
    }
}

/// State of a wave, as plugins see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaveReport {
    /// Display name.
    pub name: String,
    /// Number of devices.
    pub size: u64,
    /// Release level of the last applied decision.
    pub released: u64,
    /// Counters of the devices.
    pub counts: Counts,
    /// When its first device was released.
    pub opened_at: Option<Timestamp>,
    /// When a counter last changed.
    pub last_progress_at: Option<Timestamp>,
    /// When an operator advanced past the gate before it.
    pub advanced_at: Option<Timestamp>,
    /// Failures by error code, most frequent first.
    pub failures: Vec<Failure>,
    /// Durations of its updates.
    pub durations: Durations,
}

impl WaveReport {
    /// Released devices whose update has not ended, also those that have none yet.
    pub fn outstanding(&self) -> u64 {
        let without_end = self.released.saturating_sub(self.counts.finished());
        without_end.max(self.counts.in_flight())
    }
}

/// Number of failures with one error code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `error_code` of the updates.
    pub code: String,
    /// Number of devices that failed with it.
    pub devices: u64,
}

/// True if the failures of a wave reach the campaign's failure ceiling, which the server enforces regardless of
/// plugins.
///
/// The ceiling is a share of the wave's size: an early failure in a large wave does not reach it, the first failure
/// in a wave of one device does. Failures that an operator has `accepted` do not count.
pub fn ceiling_reached(wave: &WaveReport, accepted: u64, ceiling_basis_points: u16) -> bool {
    let unsuccessful = wave.counts.unsuccessful().saturating_sub(accepted);
    unsuccessful > 0
        && u128::from(unsuccessful) * 10_000
            >= u128::from(wave.size) * u128::from(ceiling_basis_points)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(size: u64, failed: u64, timed_out: u64) -> WaveReport {
        WaveReport {
            name: String::new(),
            size,
            released: size,
            counts: Counts {
                pending: size - failed - timed_out,
                failed,
                timed_out,
                ..Counts::default()
            },
            opened_at: None,
            last_progress_at: None,
            advanced_at: None,
            failures: Vec::new(),
            durations: Durations::default(),
        }
    }

    #[test]
    fn the_ceiling_counts_failures_and_timeouts_against_the_wave_size() {
        for (size, failed, silent, accepted, ceiling, reached) in [
            (10, 1, 0, 0, 2000, false),
            (10, 1, 1, 0, 2000, true),
            (10, 0, 2, 0, 2000, true),
            (10, 1, 2, 2, 2000, false),
            (10, 2, 2, 2, 2000, true),
            (10, 0, 0, 2, 2000, false),
            (1, 1, 0, 0, 10_000, true),
            (1, 1, 0, 1, 10_000, false),
            (0, 0, 0, 0, 100, false),
            (100_000, 999, 0, 0, 100, false),
            (100_000, 1000, 0, 0, 100, true),
        ] {
            assert_eq!(
                ceiling_reached(&wave(size, failed, silent), accepted, ceiling),
                reached,
                "{size} {failed} {silent} {accepted}"
            );
        }
    }
}
