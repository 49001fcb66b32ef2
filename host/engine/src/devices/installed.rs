use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{Caller, feedback::device, record::record};
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
    let tenant = caller.tenant;
    let known = device(engine, caller).await?;
    let at = engine.now();
    engine.seen.note(caller.seen(known, at));
    let report = InstalledReport {
        tenant,
        device: known,
        name,
        version,
        at,
    };
    let is_new = Arc::new(AtomicBool::new(false));
    let found = Arc::clone(&is_new);
    record(engine, caller, |engine| async move {
        let told = engine.store().record_installed(report).await?;
        found.store(told.is_new, Ordering::Relaxed);
        Ok(told.recorded)
    })
    .await?;
    Ok(is_new.load(Ordering::Relaxed))
}
