use std::{
    error::Error,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use parking_lot::Mutex;
use tidegate_core::{
    firmware::Artifact,
    id::{DeviceKey, ModuleId, UpdateId},
    time::Timestamp,
    update::{FileFetch, UpdateEvent, UpdateStatus},
};
use tokio::runtime::Handle;

use super::{Caller, record::background_record};
use crate::{
    Engine, UpdateWriter, chain,
    file_fetches::UpdateFetch,
    ports::{ByteStream, Clock, DeviceEvent, PollView},
};

/// The open update that a file is fetched for.
#[derive(Debug, Clone)]
pub(super) struct FetchedUpdate {
    pub(super) update: UpdateId,
    pub(super) status: UpdateStatus,
    pub(super) caller: Caller,
    pub(super) device: DeviceKey,
    pub(super) module: ModuleId,
    /// Number of files of the firmware.
    pub(super) files: usize,
}

impl FetchedUpdate {
    /// Notes that the device begins to fetch a file at this byte, and what it gets of these bytes. The update learns of
    /// the beginning only if it does not count as downloading, and of the end once.
    pub(super) fn track(
        &self,
        engine: &Engine,
        artifact: &Artifact,
        start: u64,
        bytes: ByteStream,
    ) -> ByteStream {
        let fetch = engine
            .file_fetches
            .of(self.caller.tenant, &self.caller.device_id, self.update);
        let filename = &artifact.filename;
        {
            let mut fetch_state = fetch.lock();
            let was_complete = fetch_state.begin(self.module, filename, artifact.size, start);
            if was_complete || self.status != UpdateStatus::Downloading {
                let report = FetchReporter {
                    writer: &engine.update_writer,
                    caller: &self.caller,
                    device: self.device,
                    update: self.update,
                };
                let runtime = Handle::current();
                report.run(
                    &runtime,
                    &fetch,
                    &mut fetch_state,
                    FileFetch::Begun,
                    engine.now(),
                );
            }
        }
        let guard = FetchGuard {
            fetch,
            update: self.clone(),
            filename: filename.clone(),
            sent: start..start,
            writer: engine.update_writer.clone(),
            clock: Arc::clone(&engine.ports.clock),
        };
        TrackedBytes { bytes, guard }.boxed()
    }
}

impl FetchedUpdate {
    /// Records in the background that the server could not read the file.
    pub(super) fn record_failure(
        &self,
        writer: &UpdateWriter,
        at: Timestamp,
        error: &(dyn Error + 'static),
    ) {
        let reason = chain(error).to_string();
        let event = DeviceEvent::Update(self.update, UpdateEvent::FetchFailed { reason });
        // Without a runtime the server is going down.
        if let Ok(runtime) = Handle::try_current() {
            let recording = background_record(writer, &self.caller, self.device, event, at);
            runtime.spawn(recording);
        }
    }
}

/// Reports to an update in the background how far its device has fetched the files.
struct FetchReporter<'a> {
    writer: &'a UpdateWriter,
    caller: &'a Caller,
    device: DeviceKey,
    update: UpdateId,
}

impl FetchReporter<'_> {
    fn run(
        &self,
        runtime: &Handle,
        fetch: &Arc<Mutex<UpdateFetch>>,
        fetch_state: &mut UpdateFetch,
        state: FileFetch,
        at: Timestamp,
    ) {
        let event = match state {
            FileFetch::Begun => UpdateEvent::FetchBegun,
            FileFetch::Complete => UpdateEvent::FetchCompleted,
        };
        let event = DeviceEvent::Update(self.update, event);
        let recording = background_record(self.writer, self.caller, self.device, event, at);
        let number = fetch_state.begin_report(state);
        let fetch = Arc::clone(fetch);
        fetch_state.report_in_order(runtime, async move {
            let is_recorded = recording.await;
            fetch.lock().end_report(number, is_recorded);
        });
    }
}

/// Reports again in the background that the device has fetched the files of its open update, if this could not be
/// recorded.
pub(super) fn repeat_lost_completion(engine: &Engine, caller: &Caller, view: &PollView) {
    let open = view.open.as_ref().filter(|open| {
        matches!(
            open.status,
            UpdateStatus::Downloading | UpdateStatus::Installing
        )
    });
    let Some(update) = open.map(|open| open.id) else {
        return;
    };
    let fetches = &engine.file_fetches;
    let Some(fetch) = fetches.get(caller.tenant, &caller.device_id, update) else {
        return;
    };
    let mut fetch_state = fetch.lock();
    if fetch_state.has_lost_completion() {
        let report = FetchReporter {
            writer: &engine.update_writer,
            caller,
            device: view.device,
            update,
        };
        let (runtime, now) = (Handle::current(), engine.now());
        report.run(&runtime, &fetch, &mut fetch_state, FileFetch::Complete, now);
    }
}

/// Ends a fetch when it is dropped.
struct FetchGuard {
    fetch: Arc<Mutex<UpdateFetch>>,
    update: FetchedUpdate,
    filename: String,
    sent: Range<u64>,
    writer: UpdateWriter,
    clock: Arc<dyn Clock>,
}

impl Drop for FetchGuard {
    fn drop(&mut self) {
        let (update, sent) = (&self.update, self.sent.clone());
        let mut fetch = self.fetch.lock();
        let is_complete = fetch.end(update.module, &self.filename, sent, update.files);
        // Without a runtime the server is going down.
        if let (true, Ok(runtime)) = (is_complete, Handle::try_current()) {
            let report = FetchReporter {
                writer: &self.writer,
                caller: &update.caller,
                device: update.device,
                update: update.update,
            };
            let at = self.clock.now();
            report.run(&runtime, &self.fetch, &mut fetch, FileFetch::Complete, at);
        }
    }
}

/// Bytes of a file on their way to a device.
struct TrackedBytes {
    bytes: ByteStream,
    guard: FetchGuard,
}

impl Stream for TrackedBytes {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.bytes.poll_next_unpin(context);
        match &next {
            Poll::Ready(Some(Ok(chunk))) => self.guard.sent.end += chunk.len() as u64,
            Poll::Ready(Some(Err(error))) => {
                let FetchGuard {
                    update,
                    writer,
                    clock,
                    ..
                } = &self.guard;
                update.record_failure(writer, clock.now(), error);
            }
            _ => {}
        }
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.bytes.size_hint()
    }
}
