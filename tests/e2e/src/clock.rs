use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tidegate_core::time::Timestamp;
use tidegate_engine::ports::Clock;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600_000;

/// A clock that is advanced by the test.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl Default for ManualClock {
    fn default() -> Self {
        Self(AtomicI64::new(START))
    }
}

impl ManualClock {
    /// Advances the clock.
    pub fn advance(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
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
