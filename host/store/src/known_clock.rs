//! This server's copy of the reporting clock.

use parking_lot::Mutex;
use tidegate_core::reporting_clock::ReportingClock;

/// The clock as this server last read it, by which transactions convert deadlines.
#[derive(Default)]
pub(crate) struct KnownClock(Mutex<ReportingClock>);

impl KnownClock {
    pub(crate) fn get(&self) -> ReportingClock {
        *self.0.lock()
    }

    pub(crate) fn set(&self, clock: ReportingClock) {
        *self.0.lock() = clock;
    }
}
