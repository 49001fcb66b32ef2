use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    task::{self, JoinSet},
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::{Instrument as _, Span};

use super::{tick::tick, tick_turns::TickTurns};
use crate::{Engine, chain, ports::RunRef};

/// Campaigns or updates read from the store at a time.
pub(super) const BATCH_SIZE: u32 = 500;
/// How long a loop may be silent beyond its period, because the database may be slow.
const MAX_EXTRA_SILENCE: Duration = Duration::from_mins(1);
/// Maximum duration of one tick, with all its plugin calls and batches.
pub(super) const MAX_TICK_DURATION: Duration = Duration::from_mins(5);

/// The campaign loop, until [`crate::Signals::stop`]. Ticks campaigns woken on this server immediately, and in every
/// period those that are due in the store: at their own wake-up time, or woken on another server or before a crash. The
/// loop has no durable state of its own; it finds lost wake-ups again in the store.
pub async fn reconcile(engine: Arc<Engine>) {
    let running = Arc::new(RunningTicks::default());
    let turns = Arc::new(TickTurns::default());
    let mut ticks = TickTasks::default();
    let heartbeat = engine
        .health
        .register_loop("campaigns", max_silence(&engine));
    let mut period = interval(engine.settings.tick_period);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        heartbeat.beat();
        let runs = tokio::select! {
            () = engine.signals.stopped() => break,
            () = engine.signals.wait_for_wake() => engine.signals.take_woken(),
            _ = period.tick() => heartbeat.run(due(&engine)).await,
            Some(()) = ticks.join_next() => continue,
        };
        for run in runs {
            if running.start(run) {
                let guard = TickGuard {
                    engine: Arc::clone(&engine),
                    running: Arc::clone(&running),
                    run,
                };
                ticks.spawn(run, process_campaign(guard, Arc::clone(&turns)));
            }
        }
    }
    // Every tick releases its lease, so that another server need not wait until it expires.
    while ticks.join_next().await.is_some() {}
}

async fn due(engine: &Engine) -> Vec<RunRef> {
    engine
        .store()
        .due(engine.now(), BATCH_SIZE)
        .await
        .unwrap_or_else(|error| {
            tracing::warn!(error = %chain(&error), "cannot read due campaigns; retrying");
            Vec::new()
        })
}

async fn process_campaign(guard: TickGuard, turns: Arc<TickTurns>) {
    let (engine, run) = (&guard.engine, guard.run);
    let is_requeued = {
        let _turn = turns.wait(engine.store(), run).await;
        let _work = engine
            .health
            .register_job("campaign tick", MAX_TICK_DURATION);
        let processed = async {
            tick(engine, run).await.unwrap_or_else(|error| {
                tracing::error!(error = %chain(&error), "campaign tick failed");
                false
            })
        };
        processed.instrument(tick_span(run)).await
    };
    if !is_requeued {
        // Coalesces a burst of feedback into one tick. Work that is left does not wait for it, only for its next turn.
        sleep(engine.settings.tick_pause).await;
    }
}

fn tick_span(run: RunRef) -> Span {
    let RunRef { tenant, campaign } = run;
    tracing::error_span!("tick", %tenant, %campaign)
}

/// The tasks that process campaigns.
#[derive(Default)]
struct TickTasks {
    tasks: JoinSet<()>,
    runs: HashMap<task::Id, RunRef>,
}

impl TickTasks {
    fn spawn(&mut self, run: RunRef, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.runs.insert(id, run);
    }

    /// Waits for the end of a task, and logs its panic. `None` if there is no task.
    async fn join_next(&mut self) -> Option<()> {
        match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => {
                self.runs.remove(&id);
            }
            Err(error) => {
                let span = self.runs.remove(&error.id()).map(tick_span);
                span.unwrap_or_else(Span::none).in_scope(|| {
                    tracing::error!(error = %chain(&error), "campaign tick panicked");
                });
            }
        }
        Some(())
    }
}

/// Marks a campaign as being processed until it is dropped, even if the tick panics.
struct TickGuard {
    engine: Arc<Engine>,
    running: Arc<RunningTicks>,
    run: RunRef,
}

impl Drop for TickGuard {
    fn drop(&mut self) {
        if self.running.finish(self.run) {
            self.engine.signals.wake_campaign(self.run);
        }
    }
}

/// Campaigns being processed, each with whether it was woken meanwhile.
#[derive(Default)]
struct RunningTicks(Mutex<HashMap<RunRef, bool>>);

impl RunningTicks {
    /// True if the campaign is not being processed yet. Otherwise records that it was woken.
    fn start(&self, run: RunRef) -> bool {
        let mut running = self.0.lock();
        match running.get_mut(&run) {
            Some(woken) => {
                *woken = true;
                false
            }
            None => running.insert(run, false).is_none(),
        }
    }

    /// True if the campaign was woken meanwhile.
    fn finish(&self, run: RunRef) -> bool {
        self.0.lock().remove(&run).unwrap_or(false)
    }
}

pub(super) fn max_silence(engine: &Engine) -> Duration {
    engine.settings.tick_period + MAX_EXTRA_SILENCE
}
