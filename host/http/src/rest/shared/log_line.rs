use serde::Serialize;
use tidegate_core::{Named as _, log};
use utoipa::ToSchema;

use crate::rest::response::Time;

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
