use std::sync::Arc;

use tidegate_core::log::{Source, lines};

use super::{
    Caller,
    record::{present, record},
};
use crate::{
    Engine,
    ports::{LogReport, RecordError},
};

/// Takes lines for the log of the update that a device is at; they are durable when this returns.
pub async fn report_log(
    engine: &Arc<Engine>,
    caller: &Caller,
    text: &str,
) -> Result<(), RecordError> {
    let (device, at) = present(engine, caller).await?;
    let report = LogReport {
        tenant: caller.tenant,
        device,
        update: None,
        source: Source::Device,
        lines: lines(text),
        at,
    };
    record(engine, caller, |engine| async move {
        engine.store().record_log(report).await
    })
    .await?;
    engine.signals.log_grew(device);
    Ok(())
}
