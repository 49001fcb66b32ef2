use tidegate_core::{id::DeviceKey, time::Timestamp};

use tracing::Instrument as _;

use super::{Caller, caller_view::caller_view};
use crate::{
    Engine, Error, UpdateWriter, chain,
    ports::{DeviceEvent, DeviceReport, RecordError, RecordedReport, StoreError},
};

/// Records an event of the caller's device, which must exist; notes the device as seen now.
pub(super) async fn record(
    engine: &Engine,
    caller: &Caller,
    event: DeviceEvent,
) -> Result<(DeviceKey, RecordedReport), RecordError> {
    let (device, at) = require_known_device(engine, caller).await?;
    let report = DeviceReport {
        tenant: caller.tenant,
        device,
        by: None,
        read_at: None,
        at,
        event,
    };
    let recording = engine.update_writer.report(&caller.device_id, report);
    let recorded = caller.wait.bound(recording).await?;
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
            engine
                .caches
                .last_seen
                .record(caller.last_seen(view.device, now));
            Ok((view.device, now))
        }
        // The device was registered concurrently by another caller, so it is not found for this one.
        Ok(None) | Err(Error::Forbidden { .. } | Error::NotFound { .. }) => {
            Err(RecordError::NotFound)
        }
        Err(error @ Error::Unavailable { .. }) => {
            Err(StoreError::Unavailable(chain(&error).to_string()).into())
        }
        Err(Error::NoSpace { message }) => Err(StoreError::NoSpace(message).into()),
        Err(error) => {
            let context = "read device";
            let source = Box::new(error);
            Err(StoreError::Internal { context, source }.into())
        }
    }
}

/// Records what the server itself sees of a device, as a future for the background. Its output is false if it has to be
/// recorded again.
pub(super) fn background_record(
    writer: &UpdateWriter,
    caller: &Caller,
    device: DeviceKey,
    event: DeviceEvent,
    at: Timestamp,
) -> impl Future<Output = bool> + Send + 'static {
    let report = DeviceReport {
        tenant: caller.tenant,
        device,
        by: None,
        read_at: None,
        at,
        event,
    };
    let (writer, caller) = (writer.clone(), caller.clone());
    let recording = async move {
        let event = report.event.clone();
        let recorded = writer.report(&caller.device_id, report).await;
        if let Err(error) = &recorded {
            let tenant = caller.tenant;
            tracing::warn!(error = %chain(error), %tenant, ?event, "event of an update not recorded");
        }
        // The update itself refuses an event for good.
        !matches!(recorded, Err(RecordError::Store(_)))
    };
    recording.in_current_span()
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::NotFound => Self::not_found("device or update", ""),
            RecordError::Refused(refusal) => Self::conflict("update_refused", refusal.to_string()),
            RecordError::AlreadyActive => Self::conflict("auto_confirm_active", error.to_string()),
            RecordError::TooMany(_) | RecordError::FeedbackQuota(_) => Self::TooMany {
                code: "too_many",
                message: error.to_string(),
                retry_after: None,
            },
            RecordError::Store(error) => error.into(),
        }
    }
}
