use std::{future::Future, sync::Arc};

use tidegate_core::{
    id::{DeviceKey, TenantId},
    time::Timestamp,
};

use super::{Caller, poll_view::caller_view};
use crate::{
    Engine, Error,
    ports::{RecordError, RecordedFeedback, RunRef, StoreError},
};

/// Lets the store record a report of the caller's device, then updates the read model and wakes the campaigns.
///
/// A task of its own completes this when the device disconnects: the store may have recorded the report by then, and
/// the read model must follow.
pub(super) async fn record<F, T>(
    engine: &Arc<Engine>,
    caller: &Caller,
    write: impl FnOnce(Arc<Engine>) -> F,
) -> Result<T, RecordError>
where
    F: Future<Output = Result<T, RecordError>> + Send + 'static,
    T: AsRef<RecordedFeedback> + Send + 'static,
{
    record_for_device(engine, caller.tenant, &caller.device_id, write).await
}

/// The caller's device, which must exist; notes it as seen now.
pub(super) async fn require_known_device(
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

/// As [`record`], for any device of a tenant.
pub(crate) async fn record_for_device<F, T>(
    engine: &Arc<Engine>,
    tenant: TenantId,
    device_id: &str,
    write: impl FnOnce(Arc<Engine>) -> F,
) -> Result<T, RecordError>
where
    F: Future<Output = Result<T, RecordError>> + Send + 'static,
    T: AsRef<RecordedFeedback> + Send + 'static,
{
    // A disconnected client leaves its task behind. The permit limits these tasks while the store does not answer.
    let permit = Arc::clone(&engine.reports).try_acquire_owned();
    let permit = permit.map_err(|_| {
        let why = "too many reports wait for the database";
        StoreError::Unavailable(why.to_owned())
    })?;
    let writing = write(Arc::clone(engine));
    let publishing = record_and_publish(Arc::clone(engine), tenant, device_id.to_owned(), writing);
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

async fn record_and_publish<T: AsRef<RecordedFeedback>>(
    engine: Arc<Engine>,
    tenant: TenantId,
    device_id: String,
    writing: impl Future<Output = Result<T, RecordError>>,
) -> Result<T, RecordError> {
    let device_id = device_id.as_str();
    let stamp = engine.read_model.stamp(tenant, device_id);
    let recorded = writing.await;
    match &recorded {
        Ok(recorded) => {
            let recorded = recorded.as_ref();
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
