use tidegate_core::{
    feedback::{Execution, Feedback},
    id::UpdateId,
    time::Timestamp,
    update::{FileFetch, UpdateEvent},
};

use super::{Caller, record::record};
use crate::{
    Engine,
    file_fetches::UpdateFetch,
    ports::{DeviceEvent, RecordError},
};

/// The last millisecond of the year 9999: the latest time that calendar dates can show.
const MAX_DEVICE_TIME: Timestamp = Timestamp(253_402_300_799_999);

/// Records a device's feedback on an update; durable when this returns. Repeated feedback changes nothing.
pub async fn record_feedback(
    caller: &Caller,
    engine: &Engine,
    update: UpdateId,
    feedback: Feedback,
) -> Result<(), RecordError> {
    let proceeds = feedback.execution == Execution::Proceeding;
    let report = |fetch: &UpdateFetch| {
        // If it proceeds, it may still be downloading, or need no more than the files that it has fetched.
        let counts = proceeds || fetch.has_unrecorded_completion();
        fetch.unrecorded().filter(|_| counts)
    };
    record_fetch(engine, caller, update, report).await?;
    record_event(
        engine,
        caller,
        update,
        UpdateEvent::Feedback(sanitize(feedback)),
    )
    .await
}

/// Records a device's feedback on a cancellation, as [`record_feedback`] does.
pub async fn record_cancel_feedback(
    caller: &Caller,
    engine: &Engine,
    update: UpdateId,
    feedback: Feedback,
) -> Result<(), RecordError> {
    // A device that has fetched what it began to fetch may need no more, and have installed it.
    let report = |fetch: &UpdateFetch| {
        fetch
            .unrecorded()
            .filter(|fetch| *fetch == FileFetch::Complete)
    };
    record_fetch(engine, caller, update, report).await?;
    record_event(
        engine,
        caller,
        update,
        UpdateEvent::CancelFeedback(sanitize(feedback)),
    )
    .await
}

/// Records the answer to a confirmation request, as [`record_feedback`] does.
pub async fn record_confirmation_feedback(
    caller: &Caller,
    engine: &Engine,
    update: UpdateId,
    answer: Feedback,
) -> Result<(), RecordError> {
    let event = UpdateEvent::ConfirmationFeedback(sanitize(answer));
    record_event(engine, caller, update, event).await
}

/// Records what this server knows of the fetch of the files and the update does not, before a report on it; `unrecorded`
/// says what of it counts.
async fn record_fetch(
    engine: &Engine,
    caller: &Caller,
    update: UpdateId,
    unrecorded: impl FnOnce(&UpdateFetch) -> Option<FileFetch>,
) -> Result<(), RecordError> {
    let fetches = &engine.file_fetches;
    let Some(fetch) = fetches.get(caller.tenant, &caller.device_id, update) else {
        return Ok(());
    };
    let begin = || {
        let mut fetch = fetch.lock();
        let unrecorded = unrecorded(&fetch)?;
        Some((unrecorded, fetch.begin_report(unrecorded)))
    };
    let Some((unrecorded, number)) = begin() else {
        return Ok(());
    };
    let event = match unrecorded {
        FileFetch::Begun => UpdateEvent::FetchSeen,
        FileFetch::Complete => UpdateEvent::FetchCompleted,
    };
    let recorded = record_event(engine, caller, update, event).await;
    fetch.lock().end_report(number, recorded.is_ok());
    recorded
}

async fn record_event(
    engine: &Engine,
    caller: &Caller,
    update: UpdateId,
    event: UpdateEvent,
) -> Result<(), RecordError> {
    let (device, _) = record(engine, caller, DeviceEvent::Update(update, event)).await?;
    engine.signals.notify_log_watchers(device);
    Ok(())
}

/// Truncates feedback to the stored limits, replaces NUL characters, which databases reject, and drops impossible
/// times.
fn sanitize(feedback: Feedback) -> Feedback {
    let mut feedback = feedback.bounded();
    feedback.device_time = feedback
        .device_time
        .filter(|time| (Timestamp(0)..=MAX_DEVICE_TIME).contains(time));
    for message in &mut feedback.messages {
        if message.contains('\0') {
            *message = message.replace('\0', "\u{fffd}");
        }
    }
    feedback
}

#[cfg(test)]
mod tests {
    use tidegate_core::feedback::{Execution, Finished};

    use super::*;

    #[test]
    fn values_that_databases_refuse_are_replaced() {
        for (time, expected) in [
            (Some(0), Some(0)),
            (Some(-1), None),
            (Some(i64::MAX), None),
            (None, None),
        ] {
            let feedback = sanitize(Feedback {
                device_time: time.map(Timestamp),
                messages: vec!["a\0b".into(), "<b>ü</b>".into()],
                ..Feedback::new(Execution::Closed, Finished::Failure)
            });
            assert_eq!(feedback.device_time, expected.map(Timestamp));
            assert_eq!(feedback.messages, ["a\u{fffd}b", "<b>ü</b>"]);
        }
    }
}
