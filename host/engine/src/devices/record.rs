use std::sync::Arc;

use tidegate_core::{id::DeviceKey, time::Timestamp};

use super::{Caller, poll_view::caller_view};
use crate::{
    Engine, Error,
    ports::{DeviceEvent, DeviceReport, RecordError, RecordedReport, RunRef, StoreError},
};

/// Records an event of the caller's device, which must exist; notes the device as seen now.
pub(super) async fn record(
    engine: &Arc<Engine>,
    caller: &Caller,
    event: DeviceEvent,
) -> Result<(DeviceKey, RecordedReport), RecordError> {
    let (device, at) = require_known_device(engine, caller).await?;
    let report = DeviceReport {
        tenant: caller.tenant,
        device,
        by: None,
        at,
        event,
    };
    let recorded = record_report(engine, &caller.device_id, report).await?;
    Ok((device, recorded))
}

/// The caller's device, which must exist; notes it as seen now.
async fn require_known_device(
    engine: &Engine,
    caller: &Caller,
) -> Result<(DeviceKey, Timestamp), RecordError> {
    match caller_view(engine, caller).await {
        Ok(Some(view)) => {
            let now = engine.now();
            engine.last_seen.record(caller.last_seen(view.device, now));
            Ok((view.device, now))
        }
        // The device was registered concurrently by another caller, so it is not found for this one.
        Ok(None) | Err(Error::Forbidden { .. } | Error::NotFound { .. }) => {
            Err(RecordError::NotFound)
        }
        Err(Error::Unavailable { message }) => Err(StoreError::Unavailable(message).into()),
        Err(error) => {
            let context = "read device";
            let source = Box::new(error);
            Err(StoreError::Internal { context, source }.into())
        }
    }
}

/// Lets the store record a report of the device of this id, then updates the read model and wakes the campaigns.
///
/// A task of its own completes this when the device disconnects: the store may have recorded the report by then, and
/// the read model must follow.
pub(crate) async fn record_report(
    engine: &Arc<Engine>,
    device_id: &str,
    report: DeviceReport,
) -> Result<RecordedReport, RecordError> {
    // A disconnected client leaves its task behind. The permit limits these tasks while the store does not answer.
    let permit = Arc::clone(&engine.reports).try_acquire_owned();
    let permit = permit.map_err(|_| {
        let why = "too many reports wait for the database";
        StoreError::Unavailable(why.to_owned())
    })?;
    let tenant = report.tenant;
    let publishing = record_and_publish(Arc::clone(engine), device_id.to_owned(), report);
    let task = tokio::spawn(async move {
        let recorded = publishing.await;
        drop(permit);
        recorded
    });
    task.await.unwrap_or_else(|panic| {
        engine.read_model.invalidate(tenant, device_id);
        let context = "record event";
        let source = Box::new(panic);
        Err(StoreError::Internal { context, source }.into())
    })
}

async fn record_and_publish(
    engine: Arc<Engine>,
    device_id: String,
    report: DeviceReport,
) -> Result<RecordedReport, RecordError> {
    let (tenant, device_id) = (report.tenant, device_id.as_str());
    let stamp = engine.read_model.stamp(tenant, device_id);
    let recorded = engine.store().report(report).await;
    match &recorded {
        Ok(recorded) => {
            let (view, changes_device) = (recorded.view.clone(), recorded.changes_device);
            engine
                .read_model
                .insert_changed(stamp, view, changes_device);
            for campaign in recorded.campaigns.iter().copied() {
                engine.signals.wake_campaign(RunRef { tenant, campaign });
            }
        }
        // After a store error the result is unknown.
        Err(_) => engine.read_model.invalidate(tenant, device_id),
    }
    recorded
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::NotFound => Self::not_found("device or update", ""),
            RecordError::Refused(refusal) => Self::conflict("update_refused", refusal.to_string()),
            RecordError::AlreadyActive => Self::conflict("auto_confirm_active", error.to_string()),
            RecordError::TooMany(_) => Self::TooMany {
                message: error.to_string(),
            },
            RecordError::Store(error) => error.into(),
        }
    }
}
