//! The clock of the call deadlines.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::Engine;

/// Interval at which the epoch is incremented.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Increments an engine's epoch on a thread of its own, until it is dropped. It is not an async timer: that would stop
/// when all threads of the runtime are busy, which is when deadlines matter.
pub(crate) struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the thread.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("sandbox-ticker".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    engine.increment_epoch();
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // Joining fails only if the thread panicked; then it has ended as well.
            let _ = thread.join();
        }
    }
}

/// The number of ticks of a deadline, rounded up: a call never gets less time than its deadline.
pub(crate) fn ticks(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_millis().div_ceil(TICK.as_millis()))
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_rounded_up_to_whole_ticks() {
        for (millis, expected) in [(0, 1), (1, 2), (10, 2), (11, 3), (250, 26)] {
            assert_eq!(
                ticks(Duration::from_millis(millis)),
                expected,
                "{millis} ms"
            );
        }
    }
}
