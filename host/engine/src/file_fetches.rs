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

    /// The fetch of an update, if it is known.
    pub(crate) fn get(
        &self,
        tenant: TenantId,
        device_id: &str,
        update: UpdateId,
    ) -> Option<Arc<Mutex<UpdateFetch>>> {
        self.0.get(&(tenant, device_id.into(), update))
    }
}

/// What a device has fetched of the files of an update.
#[derive(Debug, Default)]
pub(crate) struct UpdateFetch {
    /// Responses that are being sent.
    active: u32,
    files: Vec<FetchedFile>,
    /// The last report of the fetch; `None`: the update may record anything.
    reported: Option<FetchReport>,
    /// Number of reports until now.
    reports: u32,
    /// True if the last report said that the fetch is complete, and failed.
    has_lost_completion: bool,
    /// The last report to the update in the background.
    last_report: Option<JoinHandle<()>>,
}

/// A report to the update of how far its fetch is.
#[derive(Debug)]
struct FetchReport {
    fetch: FileFetch,
    is_recorded: bool,
}

/// A report that is on its way to the update; [`UpdateFetch::end_report`] takes its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReportNumber(u32);

#[derive(Debug)]
struct FetchedFile {
    module: ModuleId,
    filename: String,
    size: u64,
    /// In order, with gaps between them.
    parts: Vec<Range<u64>>,
}

impl UpdateFetch {
    /// A response begins at this byte of a file. Returns whether the fetch was reported as complete before.
    pub(crate) fn begin(
        &mut self,
        module: ModuleId,
        filename: &str,
        size: u64,
        start: u64,
    ) -> bool {
        self.active += 1;
        match self.file(module, filename) {
            // What was sent is not what the device has received: it continues where its data ends.
            Some(file) if file.is_whole() => file.parts = Vec::from_iter(before(start)),
            Some(_) => {}
            // A server that has restarted does not know what the device fetched before.
            None => self.files.push(FetchedFile {
                module,
                filename: filename.to_owned(),
                size,
                parts: Vec::from_iter(before(start)),
            }),
        }
        let was_complete = self.is_reported(FileFetch::Complete);
        if was_complete {
            self.reported = None;
        }
        self.has_lost_completion = false;
        was_complete
    }

    /// Begins a report of this to the update, which counts as recorded once [`Self::end_report`] says so.
    pub(crate) fn begin_report(&mut self, fetch: FileFetch) -> ReportNumber {
        self.reported = Some(FetchReport {
            fetch,
            is_recorded: false,
        });
        self.has_lost_completion = false;
        self.reports = self.reports.wrapping_add(1);
        ReportNumber(self.reports)
    }

    /// Ends a report. One that was not recorded is made again at the next report or request of the device.
    pub(crate) fn end_report(&mut self, number: ReportNumber, is_recorded: bool) {
        if number != ReportNumber(self.reports) {
            // A later one counts.
            return;
        }
        if is_recorded {
            if let Some(report) = &mut self.reported {
                report.is_recorded = true;
            }
        } else if let Some(lost) = self.reported.take() {
            self.has_lost_completion = lost.fetch == FileFetch::Complete;
        }
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
    /// whole and fetches none, and this is not reported yet.
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
        self.files.len() >= files && self.is_complete() && !self.is_reported(FileFetch::Complete)
    }

    /// How far the device has fetched what it began to fetch, unless this is recorded.
    pub(crate) fn unrecorded(&self) -> Option<FileFetch> {
        let fetch = if self.is_complete() {
            FileFetch::Complete
        } else {
            FileFetch::Begun
        };
        let is_recorded = |report: &FetchReport| report.fetch == fetch && report.is_recorded;
        (!self.reported.as_ref().is_some_and(is_recorded)).then_some(fetch)
    }

    /// True if it was reported that the fetch is complete, and this is not recorded, or not yet.
    pub(crate) fn has_unrecorded_completion(&self) -> bool {
        self.is_complete()
            && (self.has_lost_completion || self.is_reported(FileFetch::Complete))
            && self.unrecorded().is_some()
    }

    /// True if it could not be recorded that the fetch is complete.
    pub(crate) fn has_lost_completion(&self) -> bool {
        self.has_lost_completion && self.is_complete()
    }

    fn is_reported(&self, fetch: FileFetch) -> bool {
        let reported = self.reported.as_ref();
        reported.is_some_and(|report| report.fetch == fetch)
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

/// The bytes before `start`, if there are any.
fn before(start: u64) -> Option<Range<u64>> {
    (start > 0).then_some(0..start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: ModuleId = ModuleId(1);

    /// Fetches this range of the file, of 100 bytes; returns whether all files are fetched, which is recorded then.
    fn fetch(fetch: &mut UpdateFetch, filename: &str, sent: Range<u64>, files: usize) -> bool {
        fetch.begin(MODULE, filename, 100, sent.start);
        let is_complete = fetch.end(MODULE, filename, sent, files);
        if is_complete {
            record(fetch, FileFetch::Complete);
        }
        is_complete
    }

    fn record(fetch: &mut UpdateFetch, state: FileFetch) {
        let number = fetch.begin_report(state);
        fetch.end_report(number, true);
    }

    /// As a report of the device does.
    fn record_unrecorded(fetch: &mut UpdateFetch) -> Option<FileFetch> {
        let unrecorded = fetch.unrecorded();
        if let Some(state) = unrecorded {
            record(fetch, state);
        }
        unrecorded
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
            assert_eq!(record_unrecorded(&mut update), None);
        }
    }

    #[test]
    fn a_device_that_fetches_another_part_is_not_done() {
        let mut update = UpdateFetch::default();
        update.begin(MODULE, "a", 100, 0);
        update.begin(MODULE, "a", 100, 50);
        assert!(!update.end(MODULE, "a", 50..100, 1));
        assert_eq!(record_unrecorded(&mut update), Some(FileFetch::Begun));
        assert_eq!(record_unrecorded(&mut update), None);
        assert!(update.end(MODULE, "a", 0..50, 1));
    }

    #[test]
    fn all_files_are_fetched_unless_the_device_says_otherwise() {
        let mut update = UpdateFetch::default();
        assert!(!fetch(&mut update, "a", 0..100, 2));
        assert!(!fetch(&mut update, "b", 0..50, 2));
        assert_eq!(record_unrecorded(&mut update), Some(FileFetch::Begun));
        assert!(fetch(&mut update, "b", 50..100, 2));

        let mut update = UpdateFetch::default();
        assert!(!fetch(&mut update, "a", 0..100, 2));
        let complete = Some(FileFetch::Complete);
        assert_eq!(record_unrecorded(&mut update), complete, "it needs no more");
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
        record(&mut update, FileFetch::Begun);
        assert!(!update.end(MODULE, "a", 0..10, 1));
        assert!(fetch(&mut update, "a", 10..100, 1));
    }

    #[test]
    fn a_range_of_a_file_that_was_sent_whole_keeps_what_was_sent_before_it() {
        let mut update = UpdateFetch::default();
        // The last bytes are lost with the connection.
        assert!(fetch(&mut update, "a", 0..100, 1));
        assert!(!fetch(&mut update, "a", 60..80, 1));
        assert_eq!(record_unrecorded(&mut update), Some(FileFetch::Begun));
        assert!(fetch(&mut update, "a", 80..100, 1));
        // What it fetches from the beginning is all that it has.
        assert!(!fetch(&mut update, "a", 0..60, 1));
        assert!(!fetch(&mut update, "a", 70..100, 1));
        assert!(fetch(&mut update, "a", 60..70, 1));
    }

    #[test]
    fn a_fetch_that_continues_elsewhere_is_complete_again() {
        let mut update = UpdateFetch::default();
        assert!(fetch(&mut update, "a", 0..100, 1));
        // It began again from another server, so this one has not recorded that.
        assert!(update.begin(MODULE, "a", 100, 60), "it was complete");
        assert!(update.end(MODULE, "a", 60..100, 1));
    }

    #[test]
    fn a_completion_counts_as_recorded_once_it_is() {
        let mut update = UpdateFetch::default();
        update.begin(MODULE, "a", 100, 0);
        assert!(update.end(MODULE, "a", 0..100, 1));
        let number = update.begin_report(FileFetch::Complete);
        assert_eq!(update.unrecorded(), Some(FileFetch::Complete), "not yet");
        assert!(update.has_unrecorded_completion() && !update.has_lost_completion());
        update.end_report(number, false);
        assert_eq!(update.unrecorded(), Some(FileFetch::Complete));
        assert!(update.has_unrecorded_completion() && update.has_lost_completion());
        let number = update.begin_report(FileFetch::Complete);
        update.end_report(number, true);
        assert_eq!(update.unrecorded(), None);
        assert!(!update.has_unrecorded_completion() && !update.has_lost_completion());
    }

    #[test]
    fn the_result_of_an_earlier_report_does_not_count() {
        let mut update = UpdateFetch::default();
        update.begin(MODULE, "a", 100, 0);
        let begun = update.begin_report(FileFetch::Begun);
        assert!(update.end(MODULE, "a", 0..100, 1));
        let complete = update.begin_report(FileFetch::Complete);
        update.end_report(begun, true);
        assert_eq!(update.unrecorded(), Some(FileFetch::Complete));
        update.end_report(complete, false);
        update.end_report(begun, true);
        assert!(update.has_lost_completion());
        // A device that fetches again has not completed that.
        update.begin(MODULE, "a", 100, 0);
        assert!(!update.has_lost_completion() && !update.has_unrecorded_completion());
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
