//! What interrupts the reports of devices, as this server sees it.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tidegate_core::time::Timestamp;

/// What has interrupted the reports of devices since the last heartbeat.
#[derive(Default)]
pub(crate) struct Interruptions {
    /// Whether this server has recorded a heartbeat, or another server has since this one started.
    pub(crate) has_beaten: AtomicBool,
    /// The last heartbeat before the start, if another server may have recorded it.
    pub(crate) beat_before_start: Mutex<Option<Timestamp>>,
    /// Whether it has refused a report, because it could not read or write its data.
    pub(crate) has_refused: AtomicBool,
}

impl Interruptions {
    /// Notes that a device could not report.
    pub(crate) fn note_refusal(&self) {
        self.has_refused.store(true, Ordering::Relaxed);
    }
}
