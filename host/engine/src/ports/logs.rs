use async_trait::async_trait;
use tidegate_core::{
    id::{TenantId, UpdateId},
    log::LogLine,
};

use super::StoreError;

/// The live logs of updates.
#[async_trait]
pub trait Logs: Send + Sync {
    /// The log of an update after line number `after`, in order: at most `limit` of the stored lines.
    async fn log(
        &self,
        tenant: TenantId,
        update: UpdateId,
        after: u64,
        limit: u32,
    ) -> Result<Log, StoreError>;
}

/// A part of an update's log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    /// In order.
    pub lines: Vec<LogLine>,
    /// Number of lines that the log has had, including deleted ones.
    pub total: u64,
}
