use serde::Serialize;
use tidegate_engine::updates;
use utoipa::ToSchema;

use crate::rest::shared::{LogLineBody, UpdateBody};

/// The log of an update.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpdateLog)]
pub(crate) struct UpdateLogBody {
    update: UpdateBody,
    /// Oldest first.
    lines: Vec<LogLineBody>,
    /// Number of older lines that were dropped.
    dropped: u64,
}

impl From<updates::UpdateLog> for UpdateLogBody {
    fn from(log: updates::UpdateLog) -> Self {
        Self {
            update: log.update.into(),
            lines: log.lines.into_iter().map(LogLineBody::from).collect(),
            dropped: log.dropped,
        }
    }
}
