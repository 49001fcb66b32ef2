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
    /// Adds lines to the log of an update, gathered with others into one transaction; durable when this returns. Not
    /// found: there is no such update of the device, or none of its updates is open.
    async fn record_log(&self, report: LogReport) -> Result<RecordedFeedback, RecordError>;

    /// The log of an update after this line, in order: at most `limit` lines of those that are kept.
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
    /// Whose it is.
    pub tenant: TenantId,
    /// The device.
    pub device: DeviceKey,
    /// Its update, open or not; none: the one that it is at.
    pub update: Option<UpdateId>,
    /// Who wrote them.
    pub source: LogSource,
    /// As [`tidegate_core::log::lines`] makes them, at least one.
    pub lines: Vec<String>,
    /// When.
    pub at: Timestamp,
}

/// A part of an update's log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    /// In order.
    pub lines: Vec<LogLine>,
    /// How many lines the log has had.
    pub total: u64,
}
