use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use tidegate_core::time::Timestamp;
use tidegate_engine::ports::Clock;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600_000;

/// A clock that is advanced by the test.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicI64,
    is_wall_clock: AtomicBool,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self {
            now: AtomicI64::new(START),
            is_wall_clock: AtomicBool::new(false),
        }
    }
}

impl ManualClock {
    /// Advances the clock.
    pub fn advance(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.now.fetch_add(millis, Ordering::SeqCst);
    }

    /// From now on it counts as real time, in which servers record heartbeats.
    pub fn become_wall_clock(&self) {
        self.is_wall_clock.store(true, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    fn is_wall_clock(&self) -> bool {
        self.is_wall_clock.load(Ordering::SeqCst)
    }

    fn follows_database(&self) -> bool {
        false
    }
}

/// A real clock that is wrong by a constant time.
pub(crate) struct FastClock {
    pub(crate) real: Arc<dyn Clock>,
    pub(crate) ahead: Duration,
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        self.real.now().plus(self.ahead)
    }

    fn is_wall_clock(&self) -> bool {
        true
    }
}
