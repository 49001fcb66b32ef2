use serde::Serialize;
use tidegate_core::{Named as _, log};
use tidegate_engine::updates;
use utoipa::ToSchema;

use crate::rest::{devices::UpdateBody, response::Time};

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

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogLine)]
pub(crate) struct LogLineBody {
    /// Numbered from 1 in each update; dropped lines count.
    pub(super) number: u64,
    /// When the server received it.
    at: Time,
    /// `feedback`: a detail of the device's feedback; `device`: a line of the device's log; `host`: an operator's
    /// action.
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
