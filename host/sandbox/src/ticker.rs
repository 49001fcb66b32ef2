//! The clock behind deadlines.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::Engine;

/// How often the epoch moves on.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Moves an engine's epoch on, on a thread of its own, from its making until it is dropped. It always ticks: an async
/// timer would stand still just when the threads of the runtime are all busy, which is when deadlines matter.
pub(crate) struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts ticking.
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
            // It only fails when the thread panicked, and then there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

/// How many ticks a call has that may take this long: never fewer than it was promised.
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
