use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::sleep};

/// By how much a busy machine is late: tests share it with others. A test that measures a time adds this to its limit.
pub struct MachineDelay {
    max_micros: Arc<AtomicU64>,
    measuring: JoinHandle<()>,
}

impl MachineDelay {
    /// Measures until it is dropped.
    #[must_use]
    pub fn measure() -> Self {
        const STEP: Duration = Duration::from_millis(5);
        let max_micros = Arc::<AtomicU64>::default();
        let max = Arc::clone(&max_micros);
        let measuring = tokio::spawn(async move {
            loop {
                let started = Instant::now();
                sleep(STEP).await;
                let late = started.elapsed().saturating_sub(STEP);
                max.fetch_max(late.as_micros() as u64, Ordering::Relaxed);
            }
        });
        Self {
            max_micros,
            measuring,
        }
    }

    /// The longest delay so far.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max_micros.load(Ordering::Relaxed))
    }
}

impl Drop for MachineDelay {
    fn drop(&mut self) {
        self.measuring.abort();
    }
}
