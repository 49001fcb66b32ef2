use async_trait::async_trait;
use tidegate_core::{
    id::{DeviceKey, TenantId, UpdateId},
    log::{LogLine, LogSource},
    time::Timestamp,
};

use super::{RecordError, RecordedFeedback, StoreError};

/// The live logs of updates.
#[async_trait]
pub trait Logs: Send + Sync {
    /// Adds lines to the log of an update. Concurrent reports share one transaction; durable on return. Not found: the
    /// device has no such update, or has no open update.
    async fn record_log(&self, report: LogReport) -> Result<RecordedFeedback, RecordError>;

    /// The log of an update after line number `after`, in order: at most `limit` of the stored lines.
    async fn log(
        &self,
        tenant: TenantId,
        update: UpdateId,
        after: u64,
        limit: u32,
    ) -> Result<Log, StoreError>;
}

/// Lines for the log of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogReport {
    /// The tenant that owns the device.
    pub tenant: TenantId,
    /// Row key of the device.
    pub device: DeviceKey,
    /// The update, open or not; `None`: the device's current update.
    pub update: Option<UpdateId>,
    /// Origin of the lines.
    pub source: LogSource,
    /// At least one line, in the form of [`tidegate_core::log::lines`].
    pub lines: Vec<String>,
    /// Time of the report.
    pub at: Timestamp,
}

/// A part of an update's log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    /// In order.
    pub lines: Vec<LogLine>,
    /// Number of lines that the log has had, including deleted ones.
    pub total: u64,
}
