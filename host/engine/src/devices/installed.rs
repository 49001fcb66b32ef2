use std::sync::Arc;

use super::{
    Caller,
    record::{record, require_known_device},
};
use crate::{
    Engine,
    ports::{InstalledReport, RecordError},
};

/// Takes what a device says that it has installed, by the firmware's name and version; it is durable when this returns.
/// Answers whether it was news.
pub async fn report_installed(
    engine: &Arc<Engine>,
    caller: &Caller,
    name: String,
    version: String,
) -> Result<bool, RecordError> {
    let (device, at) = require_known_device(engine, caller).await?;
    let report = InstalledReport {
        tenant: caller.tenant,
        device,
        name,
        version,
        at,
    };
    let recorded = record(engine, caller, |engine| async move {
        engine.store().record_installed(report).await
    })
    .await?;
    Ok(recorded.is_new)
}
