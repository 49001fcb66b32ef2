//! Health of the background loops.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{Instrument as _, Span, field::Empty};

/// Tracks loops and jobs, so that a readiness probe sees one that ended or is stuck.
#[derive(Default)]
pub struct HealthRegistry(Mutex<RegistryState>);

#[derive(Default)]
struct RegistryState {
    next_id: u64,
    tasks: BTreeMap<u64, Task>,
}

struct Task {
    name: &'static str,
    /// Longest time between two heartbeats of a healthy task.
    max_silence: Duration,
    last_beat: Instant,
    has_ended: bool,
}

/// The heartbeat of a registered task. Dropping it ends the task: a job is removed, a loop becomes unhealthy.
pub struct Heartbeat {
    registry: Arc<HealthRegistry>,
    id: u64,
    name: &'static str,
    may_end: bool,
}

impl HealthRegistry {
    /// Registers a loop, which must never end and must beat at least once in `max_silence`.
    pub fn register_loop(self: &Arc<Self>, name: &'static str, max_silence: Duration) -> Heartbeat {
        self.register(name, max_silence, false)
    }

    /// Registers a job, which must end within `max_silence`.
    pub fn register_job(self: &Arc<Self>, name: &'static str, max_silence: Duration) -> Heartbeat {
        self.register(name, max_silence, true)
    }

    /// Why the first unhealthy task is unhealthy. `None`: all are healthy.
    pub fn unhealthy_reason(&self) -> Option<String> {
        let state = self.0.lock();
        let reasons = state.tasks.values().filter_map(Task::unhealthy_reason);
        reasons.into_iter().next()
    }

    fn register(
        self: &Arc<Self>,
        name: &'static str,
        max_silence: Duration,
        may_end: bool,
    ) -> Heartbeat {
        let mut state = self.0.lock();
        let id = state.next_id;
        state.next_id += 1;
        let task = Task {
            name,
            max_silence,
            last_beat: Instant::now(),
            has_ended: false,
        };
        state.tasks.insert(id, task);
        Heartbeat {
            registry: Arc::clone(self),
            id,
            name,
            may_end,
        }
    }
}

impl Task {
    fn unhealthy_reason(&self) -> Option<String> {
        let name = self.name;
        if self.has_ended {
            return Some(format!("{name}: ended"));
        }
        let silence = self.last_beat.elapsed();
        let is_stuck = silence >= self.max_silence;
        is_stuck.then(|| format!("{name}: no progress for {} s", silence.as_secs()))
    }
}

impl Heartbeat {
    /// Runs one iteration of the task, in its span, and reports that the task makes progress.
    pub async fn run<T>(&self, iteration: impl Future<Output = T>) -> T {
        self.beat();
        iteration.instrument(self.span()).await
    }

    /// The span of one iteration. An iteration about one tenant records it.
    pub fn span(&self) -> Span {
        task_span(self.name)
    }

    /// Reports that the task makes progress.
    pub fn beat(&self) {
        if let Some(task) = self.registry.0.lock().tasks.get_mut(&self.id) {
            task.last_beat = Instant::now();
        }
    }
}

/// The span of one iteration of a background task, also of one that has no [`Heartbeat`].
pub fn task_span(task: &'static str) -> Span {
    tracing::error_span!("background_task", task, tenant = Empty)
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        let mut state = self.registry.0.lock();
        if self.may_end {
            state.tasks.remove(&self.id);
        } else if let Some(task) = state.tasks.get_mut(&self.id) {
            task.has_ended = true;
            if std::thread::panicking() {
                tracing::error!(name = task.name, "background loop panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_SILENCE: Duration = Duration::from_hours(1);

    #[test]
    fn a_loop_is_healthy_until_it_ends() {
        let registry = Arc::new(HealthRegistry::default());
        let heartbeat = registry.register_loop("campaigns", MAX_SILENCE);
        assert_eq!(registry.unhealthy_reason(), None);
        drop(heartbeat);
        assert_eq!(
            registry.unhealthy_reason().as_deref(),
            Some("campaigns: ended")
        );
    }

    #[test]
    fn a_job_may_end() {
        let registry = Arc::new(HealthRegistry::default());
        drop(registry.register_job("campaign tick", MAX_SILENCE));
        assert_eq!(registry.unhealthy_reason(), None);
    }

    #[test]
    fn a_task_without_a_heartbeat_for_too_long_is_unhealthy() {
        let registry = Arc::new(HealthRegistry::default());
        let _fine = registry.register_loop("deadlines", MAX_SILENCE);
        let heartbeat = registry.register_job("campaign tick", Duration::ZERO);
        heartbeat.beat();
        assert_eq!(
            registry.unhealthy_reason().as_deref(),
            Some("campaign tick: no progress for 0 s")
        );
        drop(heartbeat);
        assert_eq!(registry.unhealthy_reason(), None);
    }
}
