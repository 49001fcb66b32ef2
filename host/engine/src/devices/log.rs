use std::sync::Arc;

use tidegate_core::log::{LogSource, lines};

use super::{
    Caller,
    record::{record, require_known_device},
};
use crate::{
    Engine,
    ports::{LogReport, RecordError},
};

/// Appends lines to the log of the device's open update; durable when this returns.
pub async fn report_log(
    engine: &Arc<Engine>,
    caller: &Caller,
    text: &str,
) -> Result<(), RecordError> {
    let (device, at) = require_known_device(engine, caller).await?;
    let report = LogReport {
        tenant: caller.tenant,
        device,
        update: None,
        source: LogSource::Device,
        lines: lines(text),
        at,
    };
    record(engine, caller, |engine| async move {
        engine.store().record_log(report).await
    })
    .await?;
    engine.signals.notify_log_watchers(device);
    Ok(())
}
