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

/// Has the store record something of a device, and lets polls and the campaign's loop know.
///
/// This goes on in a task of its own when the device hangs up: the store may have recorded it by then, and then what is
/// remembered has to follow.
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

/// The device that speaks, which was here now.
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
        // Another has registered it since: for this one it is not there.
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

/// The same as [`record`] for a device that somebody else speaks of.
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
    // Whoever hangs up leaves the task behind: while the store stands still they must not pile up.
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
        // Where the store failed, nobody knows what it did.
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
