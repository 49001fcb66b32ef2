//! What interrupts the reports of devices, as this server sees it.

use std::sync::atomic::{AtomicBool, Ordering};

/// What has interrupted the reports of devices since the last heartbeat.
#[derive(Default)]
pub(crate) struct Interruptions {
    /// Whether this server has recorded a heartbeat.
    pub(crate) has_beaten: AtomicBool,
    /// Whether it has refused a report that the database could not write.
    pub(crate) has_refused: AtomicBool,
}

impl Interruptions {
    /// Notes that a device could not report.
    pub(crate) fn note_refusal(&self) {
        self.has_refused.store(true, Ordering::Relaxed);
    }
}
