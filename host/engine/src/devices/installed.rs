use std::sync::Arc;

use super::{
    Caller,
    record::{record, require_known_device},
};
use crate::{
    Engine,
    ports::{InstalledReport, RecordError},
};

/// Records which firmware a device reports as installed, by name and version; durable when this returns. Returns
/// whether the report is new.
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
