use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::{reporting_clock::ReportingClock, time::Timestamp};

use super::{Clock, StoreError};

/// The reporting clock, which all servers of the database share.
#[async_trait]
pub trait Clocks: Send + Sync {
    /// The clock as of its last heartbeat. The store converts deadlines by the clock that was last read or recorded.
    async fn reporting_clock(&self) -> Result<ReportingClock, StoreError>;

    /// The longest polling interval that is set for a single device with an open update, among all tenants.
    async fn longest_interval_of_updated_devices(&self) -> Result<Option<Duration>, StoreError>;

    /// Records a heartbeat. Its `time` is read once no other server can record one, so that a server that waits for the
    /// database does not seem to set the time back. The heartbeat of a start is not recorded, and the clock returned as it
    /// is, while another server of the database may have recorded the last one and run: the caller tries again.
    async fn record_beat(&self, time: &dyn Clock, beat: Beat)
    -> Result<ClockAfterBeat, StoreError>;
}

/// A heartbeat of a server that takes reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Why devices could not report since the last heartbeat, if the server knows.
    pub interruption: Option<Interruption>,
    /// How long the clock stands still after it has stopped.
    pub grace: Duration,
}

/// The clock after a heartbeat at the time `at`; [`ReportingClock::beat_at`] is another time if it was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockAfterBeat {
    /// The clock, with this heartbeat if it was recorded.
    pub clock: ReportingClock,
    /// The time of the heartbeat.
    pub at: Timestamp,
}

/// Why devices could not report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The server has just started. Other servers may have taken reports.
    Start,
    /// The server refused reports, because it could not read or write its data.
    RefusedReports,
}
