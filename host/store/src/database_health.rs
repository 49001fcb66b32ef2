//! Whether writes succeed and notifications arrive, for the readiness probe.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::DatabaseFailure;

/// How long writes must not fail before they count as healthy again.
const RECOVERY: Duration = Duration::from_secs(3);
/// Minimum free space after a full disk, in bytes, before writes count as healthy. Most transactions are far smaller.
const MIN_FREE_SPACE: u64 = 1 << 20;
/// Maximum free space that is required then, in bytes. The largest transactions are smaller.
const MAX_FREE_SPACE: u64 = 16 << 20;
/// A write that is refused within this time after the required space was free requires more.
const FREE_SPACE_MEMORY: Duration = Duration::from_mins(1);

/// Failures of writes since the database was healthy.
#[derive(Debug, Default)]
pub(crate) struct WriteHealth {
    /// Whether the state has failures, so that a healthy write takes no lock.
    is_failing: AtomicBool,
    state: Mutex<WriteState>,
    /// Whether a task tries to write until that succeeds.
    is_probing: AtomicBool,
}

#[derive(Debug, Default)]
struct WriteState {
    failures: Option<WriteFailures>,
    required_space: RequiredSpace,
}

#[derive(Debug)]
struct WriteFailures {
    failure: DatabaseFailure,
    last_failure: Instant,
    /// Whether space was missing. Then a write that needs none, or little, proves nothing: a disk that is nearly full takes
    /// small writes and refuses large ones.
    lacks_space: bool,
    has_succeeded_since: bool,
}

/// The free space, in bytes, that must be found before writes count as healthy after a full disk.
#[derive(Debug)]
struct RequiredSpace {
    bytes: u64,
    found_at: Option<Instant>,
}

impl Default for RequiredSpace {
    fn default() -> Self {
        Self {
            bytes: MIN_FREE_SPACE,
            found_at: None,
        }
    }
}

impl RequiredSpace {
    /// A write was refused. If this much was free just before, it requires twice as much.
    fn was_missing(&mut self) {
        let found_at = self.found_at.take();
        if found_at.is_some_and(|at| at.elapsed() < FREE_SPACE_MEMORY) {
            self.bytes = (self.bytes * 2).min(MAX_FREE_SPACE);
        }
    }
}

impl WriteHealth {
    /// A write failed, so that another would probably fail too. The first failure is logged with the reason, which is in
    /// the database's own words.
    pub(crate) fn failed(&self, failure: DatabaseFailure, reason: &str) {
        if !failure.concerns_all_writes() {
            return;
        }
        let mut state = self.state.lock();
        let before = state.failures.as_ref();
        if before.is_none_or(|before| before.failure != failure) {
            tracing::error!(reason, "the database cannot be written");
        }
        let has_no_space = failure == DatabaseFailure::NoSpace;
        let lacks_space = has_no_space || before.is_some_and(|before| before.lacks_space);
        if has_no_space {
            state.required_space.was_missing();
        }
        state.failures = Some(WriteFailures {
            failure,
            last_failure: Instant::now(),
            lacks_space,
            has_succeeded_since: false,
        });
        self.is_failing.store(true, Ordering::Release);
    }

    /// A write was committed.
    pub(crate) fn succeeded(&self) {
        if self.is_failing.load(Ordering::Acquire)
            && let Some(failures) = &mut self.state.lock().failures
        {
            failures.has_succeeded_since |= !failures.lacks_space;
        }
    }

    /// The free space that a probe must find, in bytes; `None`: no space was missing.
    pub(crate) fn required_space(&self) -> Option<u64> {
        let state = self.state.lock();
        let lacks_space = state.failures.as_ref()?.lacks_space;
        lacks_space.then_some(state.required_space.bytes)
    }

    /// A probe found the space of [`Self::required_space`], or cannot look for it.
    pub(crate) fn found_space(&self) {
        let mut state = self.state.lock();
        state.required_space.found_at = Some(Instant::now());
        if let Some(failures) = &mut state.failures {
            failures.lacks_space = false;
            failures.has_succeeded_since = true;
        }
    }

    /// Why writes fail, for clients without credentials.
    pub(crate) fn unhealthy_reason(&self) -> Option<String> {
        if !self.is_failing.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state.lock();
        let failures = state.failures.as_ref()?;
        if failures.has_succeeded_since && failures.last_failure.elapsed() >= RECOVERY {
            state.failures = None;
            self.is_failing.store(false, Ordering::Release);
            return None;
        }
        let why = match failures.failure {
            DatabaseFailure::NoSpace => "its disk or its quota is full",
            _ => "it is not available",
        };
        Some(format!("the database cannot be written: {why}"))
    }

    /// True if a task must be started that tries to write until [`Self::unhealthy_reason`] is none.
    pub(crate) fn start_probing(&self) -> bool {
        self.is_failing.load(Ordering::Acquire) && !self.is_probing.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn stop_probing(&self) {
        self.is_probing.store(false, Ordering::Release);
    }
}

/// Whether notifications of other servers are received. True until this server subscribes.
#[derive(Debug, Default)]
pub(crate) struct ListenHealth {
    is_disconnected: AtomicBool,
}

impl ListenHealth {
    pub(crate) fn set_disconnected(&self, is_disconnected: bool) {
        self.is_disconnected
            .store(is_disconnected, Ordering::Relaxed);
    }

    pub(crate) fn unhealthy_reason(&self) -> Option<String> {
        self.is_disconnected.load(Ordering::Relaxed).then(|| {
            "notifications of other servers are not received; devices are answered from the database"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "the database cannot be written: its disk or its quota is full";

    fn reason(health: &WriteHealth) -> Option<String> {
        health.unhealthy_reason()
    }

    #[tokio::test(start_paused = true)]
    async fn writes_are_healthy_again_after_a_success_and_a_time_without_failures() {
        let health = WriteHealth::default();
        assert_eq!(reason(&health), None);
        health.failed(DatabaseFailure::Unavailable, "read-only");
        let unavailable = "the database cannot be written: it is not available";
        assert_eq!(reason(&health).as_deref(), Some(unavailable));
        assert_eq!(health.required_space(), None);
        tokio::time::advance(RECOVERY).await;
        assert_eq!(reason(&health).as_deref(), Some(unavailable), "no success");
        health.succeeded();
        assert_eq!(reason(&health), None);

        health.failed(DatabaseFailure::Unavailable, "read-only");
        health.succeeded();
        assert_eq!(
            reason(&health).as_deref(),
            Some(unavailable),
            "it failed just now"
        );
        health.failed(DatabaseFailure::Locked, "a row is locked");
        assert_eq!(
            reason(&health).as_deref(),
            Some(unavailable),
            "one row is not all"
        );
        tokio::time::advance(RECOVERY).await;
        assert_eq!(reason(&health), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_is_healthy_again_once_space_is_free() {
        let health = WriteHealth::default();
        health.failed(DatabaseFailure::NoSpace, "full");
        for next in [DatabaseFailure::NoSpace, DatabaseFailure::Unavailable] {
            tokio::time::advance(RECOVERY).await;
            health.succeeded();
            assert!(reason(&health).is_some(), "small writes prove nothing");
            assert_eq!(health.required_space(), Some(MIN_FREE_SPACE));
            // The next failure does not hide that space was missing.
            health.failed(next, "full");
        }
        health.failed(DatabaseFailure::NoSpace, "full");
        health.found_space();
        assert_eq!(reason(&health).as_deref(), Some(FULL), "it failed just now");
        tokio::time::advance(RECOVERY).await;
        assert_eq!((reason(&health), health.required_space()), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_finds_too_little_space_requires_more() {
        let health = WriteHealth::default();
        let refuse = || health.failed(DatabaseFailure::NoSpace, "full");
        refuse();
        refuse();
        assert_eq!(
            health.required_space(),
            Some(MIN_FREE_SPACE),
            "none was found"
        );
        for factor in [2, 4, 8, 16, 16] {
            health.found_space();
            tokio::time::advance(RECOVERY).await;
            assert_eq!(reason(&health), None);
            refuse();
            assert_eq!(health.required_space(), Some(factor * MIN_FREE_SPACE));
        }
        let health = WriteHealth::default();
        health.failed(DatabaseFailure::NoSpace, "full");
        health.found_space();
        tokio::time::advance(FREE_SPACE_MEMORY).await;
        health.failed(DatabaseFailure::NoSpace, "full again");
        assert_eq!(health.required_space(), Some(MIN_FREE_SPACE));
    }
}
