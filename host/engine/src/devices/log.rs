use tidegate_core::log::{LogSource, lines};

use super::{Caller, record::record};
use crate::{
    Engine,
    ports::{DeviceEvent, RecordError, ReportedLines},
};

/// Appends lines to the log of the device's open update; durable when this returns.
pub async fn report_log(engine: &Engine, caller: &Caller, text: &str) -> Result<(), RecordError> {
    let lines = ReportedLines {
        update: None,
        source: LogSource::Device,
        lines: lines(text),
    };
    let (device, _) = record(engine, caller, DeviceEvent::Log(lines)).await?;
    engine.signals.notify_log_watchers(device);
    Ok(())
}
