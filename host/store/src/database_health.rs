//! Whether writes succeed and notifications arrive, for the readiness probe.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::DatabaseFailure;

/// How long writes must not fail before they count as healthy again. A disk that is nearly full takes small writes and
/// refuses large ones.
const RECOVERY: Duration = Duration::from_secs(3);

/// Failures of writes since the database was healthy.
#[derive(Debug, Default)]
pub(crate) struct WriteHealth {
    /// Whether `failing` has a value, for a cheap check on the good path.
    is_failing: AtomicBool,
    failing: Mutex<Option<WriteFailures>>,
    /// Whether a task tries to write until that succeeds.
    is_probing: AtomicBool,
}

#[derive(Debug)]
struct WriteFailures {
    failure: DatabaseFailure,
    last_failure: Instant,
    has_succeeded_since: bool,
}

impl WriteHealth {
    /// A write failed, so that another would probably fail too. The first failure is logged with the reason, which is in
    /// the database's own words.
    pub(crate) fn failed(&self, failure: DatabaseFailure, reason: &str) {
        if !failure.concerns_all_writes() {
            return;
        }
        let mut failing = self.failing.lock();
        if failing
            .as_ref()
            .is_none_or(|before| before.failure != failure)
        {
            tracing::error!(reason, "the database cannot be written");
        }
        *failing = Some(WriteFailures {
            failure,
            last_failure: Instant::now(),
            has_succeeded_since: false,
        });
        self.is_failing.store(true, Ordering::Release);
    }

    /// A write was committed.
    pub(crate) fn succeeded(&self) {
        if self.is_failing.load(Ordering::Acquire)
            && let Some(failing) = &mut *self.failing.lock()
        {
            failing.has_succeeded_since = true;
        }
    }

    /// Why writes fail, for clients without credentials.
    pub(crate) fn unhealthy_reason(&self) -> Option<String> {
        if !self.is_failing.load(Ordering::Acquire) {
            return None;
        }
        let mut failing = self.failing.lock();
        let state = failing.as_ref()?;
        if state.has_succeeded_since && state.last_failure.elapsed() >= RECOVERY {
            *failing = None;
            self.is_failing.store(false, Ordering::Release);
            return None;
        }
        let why = match state.failure {
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

    #[tokio::test(start_paused = true)]
    async fn writes_are_healthy_again_after_a_success_and_a_time_without_failures() {
        let health = WriteHealth::default();
        assert_eq!(health.unhealthy_reason(), None);
        health.failed(DatabaseFailure::NoSpace, "full");
        let reason = "the database cannot be written: its disk or its quota is full";
        assert_eq!(health.unhealthy_reason().as_deref(), Some(reason));
        tokio::time::advance(RECOVERY).await;
        assert_eq!(
            health.unhealthy_reason().as_deref(),
            Some(reason),
            "no success"
        );
        health.succeeded();
        assert_eq!(health.unhealthy_reason(), None);

        health.failed(DatabaseFailure::NoSpace, "full");
        health.succeeded();
        assert_eq!(
            health.unhealthy_reason().as_deref(),
            Some(reason),
            "it failed just now"
        );
        health.failed(DatabaseFailure::Locked, "a row is locked");
        assert_eq!(
            health.unhealthy_reason().as_deref(),
            Some(reason),
            "one row is not all"
        );
        tokio::time::advance(RECOVERY).await;
        assert_eq!(health.unhealthy_reason(), None);
    }
}
