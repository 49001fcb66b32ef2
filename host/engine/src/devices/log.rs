use std::sync::Arc;

use tidegate_core::log::{Source, lines};

use super::{Caller, feedback::device, record::record};
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
    let known = device(engine, caller).await?;
    let at = engine.now();
    engine.seen.note(caller.seen(known, at));
    let report = LogReport {
        tenant: caller.tenant,
        device: known,
        update: None,
        source: Source::Device,
        lines: lines(text),
        at,
    };
    record(engine, caller, |engine| async move {
        engine.store().record_log(report).await
    })
    .await?;
    engine.signals.log_grew(known);
    Ok(())
}
