use serde::Serialize;
use tidegate_core::log;
use tidegate_engine::updates;
use utoipa::ToSchema;

use crate::rest::{devices::UpdateBody, response::Time};

/// What was written while an update was under way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpdateLog)]
pub(crate) struct UpdateLogBody {
    update: UpdateBody,
    /// In order.
    lines: Vec<LogLineBody>,
    /// How many older lines are not kept any more.
    dropped: u64,
}

/// One line.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogLine)]
pub(crate) struct LogLineBody {
    /// Counts the lines of the update from 1, those that are not kept any more too.
    pub(super) number: u64,
    /// When it arrived.
    at: Time,
    /// `feedback`: a detail of the device's feedback; `device`: a line of its log; `host`: what an operator did.
    source: &'static str,
    text: String,
}

impl From<log::LogLine> for LogLineBody {
    fn from(line: log::LogLine) -> Self {
        Self {
            number: line.number,
            at: line.at.into(),
            source: line.source.as_str(),
            text: line.text,
        }
    }
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
