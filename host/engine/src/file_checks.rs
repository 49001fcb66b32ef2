//! Checks that stored files still match their hashes. A disk may change bytes of a file and not its length; devices would
//! notice that only after their download.
//!
//! A file is checked in the background when it is first served after the start, and again after a while, so that serving
//! it costs no hashing.

use std::{io, sync::Arc, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tidegate_core::{id::Digest, time::Timestamp};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};
use tracing::Instrument as _;

use crate::{
    chain,
    ports::{Artifacts, ByteStream, Clock},
    task_span,
};

/// Maximum number of files whose result is remembered.
const MAX_FILES: usize = 10_000;
/// Maximum number of files that are read at a time to check them.
const MAX_CONCURRENT_CHECKS: usize = 2;
/// How long the result `intact` is valid.
const INTACT_VALIDITY: Duration = Duration::from_hours(24);
/// How long the result `damaged` is valid: another server of the same folder may receive the file again.
const DAMAGED_VALIDITY: Duration = Duration::from_mins(1);
/// Maximum time that the end of a download waits for a result.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The checks of the stored files.
pub(crate) struct FileChecks {
    artifacts: Arc<dyn Artifacts>,
    clock: Arc<dyn Clock>,
    checks: Cache<[u8; 32], FileCheck>,
    /// Held while a check begins, so that each file has at most one.
    begin_lock: Mutex<()>,
    permits: Arc<Semaphore>,
}

/// The check of a file.
#[derive(Debug, Clone)]
pub(crate) struct FileCheck {
    began_at: Timestamp,
    result: watch::Receiver<Option<FileState>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileState {
    Intact,
    Damaged,
}

impl FileChecks {
    pub(crate) fn new(artifacts: Arc<dyn Artifacts>, clock: Arc<dyn Clock>) -> Self {
        Self {
            artifacts,
            clock,
            checks: Cache::new(MAX_FILES),
            begin_lock: Mutex::default(),
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT_CHECKS)),
        }
    }

    /// The check of a file of this size, which begins if its result is not known or too old.
    pub(crate) fn get_or_begin(&self, sha256: [u8; 32], size: u64) -> FileCheck {
        let now = self.clock.now();
        let current = || {
            self.checks
                .get(&sha256)
                .filter(|check| check.is_current(now))
        };
        if let Some(check) = current() {
            return check;
        }
        let _lock = self.begin_lock.lock();
        current().unwrap_or_else(|| {
            let check = self.begin(sha256, size, now);
            self.checks.insert(sha256, check.clone());
            check
        })
    }

    /// Forgets the result of a file that was stored again.
    pub(crate) fn forget(&self, sha256: [u8; 32]) {
        self.checks.remove(&sha256);
    }

    fn begin(&self, sha256: [u8; 32], size: u64, began_at: Timestamp) -> FileCheck {
        let (sender, result) = watch::channel(None);
        let (artifacts, permits) = (Arc::clone(&self.artifacts), Arc::clone(&self.permits));
        let checking = async move {
            // The semaphore is never closed.
            let _permit = permits.acquire().await;
            let file = Digest(sha256);
            // The result is unknown after an error. The downloads of the file meet it too.
            let state = match artifacts.is_intact(sha256, size).await {
                Ok(true) => FileState::Intact,
                Ok(false) => {
                    tracing::error!(%file, "stored file is damaged; upload it again");
                    FileState::Damaged
                }
                Err(error) => {
                    tracing::warn!(error = %chain(&error), %file, "cannot check a stored file");
                    return;
                }
            };
            sender.send_replace(Some(state));
        };
        tokio::spawn(checking.instrument(task_span("file check")));
        FileCheck { began_at, result }
    }
}

impl FileCheck {
    fn is_current(&self, now: Timestamp) -> bool {
        let age = now.since(self.began_at);
        let result = *self.result.borrow();
        match result {
            Some(FileState::Intact) => age < INTACT_VALIDITY,
            Some(FileState::Damaged) => age < DAMAGED_VALIDITY,
            // An error ends it without a result.
            None => self.result.has_changed().is_ok(),
        }
    }

    /// An error if the file is known to be damaged.
    pub(crate) fn refuse_damaged(&self) -> io::Result<()> {
        if *self.result.borrow() == Some(FileState::Damaged) {
            let damaged = "its content does not match its hash; upload the file again";
            return Err(io::Error::new(io::ErrorKind::InvalidData, damaged));
        }
        Ok(())
    }

    /// These bytes of the file, without the end if the file turns out to be damaged. The end of a whole file waits for the
    /// result; a part of one does not, because its client waits before it requests the next.
    pub(crate) fn guard(self, bytes: ByteStream, length: u64, is_whole: bool) -> ByteStream {
        if *self.result.borrow() == Some(FileState::Intact) {
            return bytes;
        }
        let mut remaining = length;
        bytes
            .and_then(move |chunk| {
                remaining = remaining.saturating_sub(chunk.len() as u64);
                let at_end = (remaining == 0).then(|| self.clone());
                async move {
                    if let Some(check) = at_end {
                        if is_whole {
                            check.wait().await;
                        }
                        check.refuse_damaged()?;
                    }
                    Ok(chunk)
                }
            })
            .boxed()
    }

    async fn wait(&self) {
        let mut result = self.result.clone();
        // Without a result in time, or after an error, the device checks the file itself.
        let _ = timeout(MAX_WAIT, result.wait_for(Option::is_some)).await;
    }
}
