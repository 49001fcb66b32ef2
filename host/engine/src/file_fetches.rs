//! Which files devices are fetching from this server, and how much of them they have.

use std::{convert::Infallible, ops::Range, sync::Arc};

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tidegate_core::{
    id::{ModuleId, TenantId, UpdateId},
    update::FileFetch,
};
use tokio::{runtime::Handle, task::JoinHandle};

/// Maximum number of updates of which it is known. The oldest are forgotten; their devices still report `downloaded`.
const MAX_UPDATES: usize = 100_000;
/// Maximum number of parts of a file, with gaps between them, that are remembered.
const MAX_PARTS: usize = 64;

/// The fetches of updates, in memory, by tenant, device and update.
pub(crate) struct FileFetches(Cache<Key, Arc<Mutex<UpdateFetch>>>);

type Key = (TenantId, Box<str>, UpdateId);

impl Default for FileFetches {
    fn default() -> Self {
        Self(Cache::new(MAX_UPDATES))
    }
}

impl FileFetches {
    /// The fetch of an update, which begins if it is not known.
    pub(crate) fn of(
        &self,
        tenant: TenantId,
        device_id: &str,
        update: UpdateId,
    ) -> Arc<Mutex<UpdateFetch>> {
        let key = (tenant, device_id.into(), update);
        let fetch = self
            .0
            .get_or_insert_with(&key, || Ok::<_, Infallible>(Arc::default()));
        match fetch {
            Ok(fetch) => fetch,
        }
    }

    /// How far the device has fetched what it began to fetch, if this is not recorded yet. Counts as recorded then.
    pub(crate) fn take_unrecorded(
        &self,
        tenant: TenantId,
        device_id: &str,
        update: UpdateId,
    ) -> Option<FileFetch> {
        let fetch = self.0.get(&(tenant, device_id.into(), update))?;
        fetch.lock().take_unrecorded()
    }
}

/// What a device has fetched of the files of an update.
#[derive(Debug, Default)]
pub(crate) struct UpdateFetch {
    /// Responses that are being sent.
    active: u32,
    files: Vec<FetchedFile>,
    /// What was recorded of the update last.
    recorded: Option<FileFetch>,
    /// The last report to the update.
    last_report: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct FetchedFile {
    module: ModuleId,
    filename: String,
    size: u64,
    /// In order, with gaps between them.
    parts: Vec<Range<u64>>,
}

impl UpdateFetch {
    /// A response begins at this byte of a file.
    pub(crate) fn begin(&mut self, module: ModuleId, filename: &str, size: u64, start: u64) {
        self.active += 1;
        match self.file(module, filename) {
            Some(file) if file.is_whole() => file.parts.clear(),
            Some(_) => {}
            // A server that has restarted does not know what the device fetched before.
            None => self.files.push(FetchedFile {
                module,
                filename: filename.to_owned(),
                size,
                parts: Vec::from_iter((start > 0).then_some(0..start)),
            }),
        }
    }

    /// It is recorded that the device has begun to fetch a file.
    pub(crate) fn set_begun(&mut self) {
        self.recorded = Some(FileFetch::Begun);
    }

    /// Runs a report to the update in the background, after the one before it: the end of a fetch must not be recorded
    /// before its beginning.
    pub(crate) fn report_in_order(
        &mut self,
        runtime: &Handle,
        report: impl Future<Output = ()> + Send + 'static,
    ) {
        let previous = self.last_report.take();
        self.last_report = Some(runtime.spawn(async move {
            if let Some(previous) = previous {
                // A report that panicked is logged.
                let _ = previous.await;
            }
            report.await;
        }));
    }

    /// A response ends after these bytes of a file were sent. True if the device has fetched all `files` of the firmware
    /// whole and fetches none, and this is not recorded yet. Counts as recorded then.
    pub(crate) fn end(
        &mut self,
        module: ModuleId,
        filename: &str,
        sent: Range<u64>,
        files: usize,
    ) -> bool {
        self.active = self.active.saturating_sub(1);
        if let Some(file) = self.file(module, filename) {
            file.add(sent);
        }
        self.files.len() >= files && self.is_complete() && self.take_unrecorded().is_some()
    }

    fn take_unrecorded(&mut self) -> Option<FileFetch> {
        let state = if self.is_complete() {
            FileFetch::Complete
        } else {
            FileFetch::Begun
        };
        let is_new = self.recorded.replace(state) != Some(state);
        is_new.then_some(state)
    }

    /// True if the device has fetched whole what it began to fetch, and fetches nothing.
    fn is_complete(&self) -> bool {
        self.active == 0 && self.files.iter().all(FetchedFile::is_whole)
    }

    fn file(&mut self, module: ModuleId, filename: &str) -> Option<&mut FetchedFile> {
        let mut files = self.files.iter_mut();
        files.find(|file| file.module == module && file.filename == filename)
    }
}

impl FetchedFile {
    fn is_whole(&self) -> bool {
        self.size == 0 || self.parts.first() == Some(&(0..self.size))
    }

    fn add(&mut self, sent: Range<u64>) {
        if sent.is_empty() {
            return;
        }
        self.parts.push(sent);
        self.parts.sort_unstable_by_key(|part| part.start);
        let mut joined: Vec<Range<u64>> = Vec::with_capacity(self.parts.len());
        for part in self.parts.drain(..) {
            match joined.last_mut() {
                Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
                _ => joined.push(part),
            }
        }
        joined.truncate(MAX_PARTS);
        self.parts = joined;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: ModuleId = ModuleId(1);

    /// Fetches this range of the file, of 100 bytes; returns whether all files are fetched.
    fn fetch(fetch: &mut UpdateFetch, filename: &str, sent: Range<u64>, files: usize) -> bool {
        fetch.begin(MODULE, filename, 100, sent.start);
        fetch.end(MODULE, filename, sent, files)
    }

    #[test]
    fn a_file_in_any_parts_is_complete_once_it_is_whole() {
        for parts in [
            vec![(0, 100)],
            vec![(0, 40), (40, 100)],
            vec![(0, 60), (80, 100), (50, 90)],
            // Continued after a restart of the server.
            vec![(70, 100)],
        ] {
            let mut update = UpdateFetch::default();
            let last = parts.len() - 1;
            for (index, (start, end)) in parts.into_iter().enumerate() {
                let is_complete = fetch(&mut update, "a", start..end, 1);
                assert_eq!(is_complete, index == last);
            }
            assert_eq!(update.take_unrecorded(), None);
        }
    }

    #[test]
    fn a_device_that_fetches_another_part_is_not_done() {
        let mut update = UpdateFetch::default();
        update.begin(MODULE, "a", 100, 0);
        update.begin(MODULE, "a", 100, 50);
        assert!(!update.end(MODULE, "a", 50..100, 1));
        assert_eq!(update.take_unrecorded(), Some(FileFetch::Begun));
        assert_eq!(update.take_unrecorded(), None);
        assert!(update.end(MODULE, "a", 0..50, 1));
    }

    #[test]
    fn all_files_are_fetched_unless_the_device_says_otherwise() {
        let mut update = UpdateFetch::default();
        assert!(!fetch(&mut update, "a", 0..100, 2));
        assert!(!fetch(&mut update, "b", 0..50, 2));
        assert_eq!(update.take_unrecorded(), Some(FileFetch::Begun));
        assert!(fetch(&mut update, "b", 50..100, 2));

        let mut update = UpdateFetch::default();
        assert!(!fetch(&mut update, "a", 0..100, 2));
        let complete = Some(FileFetch::Complete);
        assert_eq!(update.take_unrecorded(), complete, "it needs no more");
    }

    #[tokio::test]
    async fn reports_are_recorded_in_their_order() {
        let (runtime, mut update) = (Handle::current(), UpdateFetch::default());
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let (first, second) = (Arc::clone(&recorded), Arc::clone(&recorded));
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        update.report_in_order(&runtime, async move {
            wait.await.expect("the test goes on");
            first.lock().push("begun");
        });
        update.report_in_order(&runtime, async move { second.lock().push("complete") });
        tokio::task::yield_now().await;
        assert!(recorded.lock().is_empty(), "the second waits for the first");
        go.send(()).expect("the first report waits");
        let last = update.last_report.take().expect("a report");
        last.await.expect("it is recorded");
        assert_eq!(*recorded.lock(), ["begun", "complete"]);
    }

    #[test]
    fn a_second_fetch_begins_again() {
        let mut update = UpdateFetch::default();
        assert!(fetch(&mut update, "a", 0..100, 1));
        update.begin(MODULE, "a", 100, 0);
        update.set_begun();
        assert!(!update.end(MODULE, "a", 0..10, 1));
        assert!(fetch(&mut update, "a", 10..100, 1));
    }

    #[test]
    fn the_parts_of_a_file_are_bounded() {
        let mut update = UpdateFetch::default();
        for start in (0..1000).step_by(2) {
            update.begin(MODULE, "a", 1000, 0);
            update.end(MODULE, "a", start..start + 1, 1);
        }
        assert_eq!(update.files[0].parts.len(), MAX_PARTS);
    }
}
