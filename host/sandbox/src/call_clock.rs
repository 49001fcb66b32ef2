//! When a call has missed its deadline.

use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use wasmtime::UpdateDeadline;

use crate::ticker::ticks;

/// A call may wait this many times its deadline for a processor.
const MAX_WAIT: u32 = 10;

/// Counts the processor time of a call, so that a busy machine is not the plugin's fault, and its time by the clock, so
/// that no call holds its permit for long.
pub(crate) struct CallClock {
    deadline: Duration,
    /// The processor time of this thread, which the call blocks from its beginning to its end.
    used_before: Duration,
    started: Instant,
}

impl CallClock {
    /// Starts with a call on this thread.
    pub(crate) fn start(deadline: Duration) -> Self {
        Self {
            deadline,
            used_before: ThreadTime::now().as_duration(),
            started: Instant::now(),
        }
    }

    /// The ticks after which the deadline may be missed.
    pub(crate) fn first_check(&self) -> u64 {
        ticks(self.deadline)
    }

    /// Ends the call, or gives it the ticks that it still has.
    pub(crate) fn check(&self) -> UpdateDeadline {
        let used = ThreadTime::now().as_duration();
        let used = used.saturating_sub(self.used_before);
        match remaining(self.deadline, used, self.started.elapsed()) {
            Some(remaining) => UpdateDeadline::Continue(ticks(remaining)),
            None => UpdateDeadline::Interrupt,
        }
    }
}

/// The processor time that is left of a deadline.
fn remaining(deadline: Duration, used: Duration, passed: Duration) -> Option<Duration> {
    let is_long = passed >= deadline.saturating_mul(MAX_WAIT);
    let remaining = deadline.saturating_sub(used);
    (!is_long && !remaining.is_zero()).then_some(remaining)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_waits_for_a_processor_goes_on_for_ten_deadlines() {
        let ms = Duration::from_millis;
        for (used, passed, expected) in [
            (250, 250, None),
            (260, 2_000, None),
            (10, 250, Some(240)),
            (249, 2_499, Some(1)),
            (10, 2_500, None),
        ] {
            let remaining = remaining(ms(250), ms(used), ms(passed));
            assert_eq!(remaining, expected.map(ms), "{used} of {passed} ms");
        }
    }
}
