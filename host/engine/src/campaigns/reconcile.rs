use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    calls::flush_usage,
    tick::{doubt, tick},
};
use crate::{Engine, Pulse, Result, devices, ports::RunRef};

/// Campaigns that are looked at side by side.
const AT_ONCE: usize = 8;
/// Campaigns or updates that one round takes from the store.
const ROUND: u32 = 500;
/// How long a loop may be silent beyond its period: the database may be.
const SILENCE: Duration = Duration::from_mins(1);
/// How long one look may take, with every call and every chunk of devices.
const LOOK: Duration = Duration::from_mins(5);

/// Keeps campaigns going until [`crate::Signals::stop`]: at once those that moved on this host, and at every period those that are
/// due by the store: their own wake-up has come, or they moved on another host or before a crash. It takes no input and
/// keeps no state of its own that matters: what it forgets, it finds again.
pub async fn reconcile(engine: Arc<Engine>) {
    let busy = Arc::new(Busy::default());
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut looks = JoinSet::new();
    let pulse = engine.loops.watch("campaigns", patience(&engine));
    let mut period = interval(engine.settings.tick_period);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pulse.beat();
        let runs = tokio::select! {
            () = engine.signals.stopped() => break,
            () = engine.signals.woken() => engine.signals.take_woken(),
            _ = period.tick() => due(&engine).await,
            Some(ended) = looks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a look at a campaign panicked");
                }
                continue;
            }
        };
        for run in runs {
            if busy.enter(run) {
                let entered = Entered {
                    engine: Arc::clone(&engine),
                    busy: Arc::clone(&busy),
                    run,
                };
                looks.spawn(look(entered, Arc::clone(&places)));
            }
        }
    }
    // Every look gives its lease back, so that the next host need not wait for it to run out.
    while looks.join_next().await.is_some() {}
}

async fn due(engine: &Engine) -> Vec<RunRef> {
    engine
        .store()
        .due(engine.now(), ROUND)
        .await
        .unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot see which campaigns are due; trying again");
            Vec::new()
        })
}

async fn look(entered: Entered, places: Arc<Semaphore>) {
    let (engine, run) = (&entered.engine, entered.run);
    {
        // The semaphore is never closed.
        let _place = places.acquire().await;
        let _work = engine.loops.work("a look at a campaign", LOOK);
        if let Err(error) = tick(engine, run).await {
            let (tenant, campaign) = (run.tenant, run.campaign);
            tracing::error!(%tenant, %campaign, error = %Chain(&error), "a look at a campaign failed");
        }
    }
    // A burst of feedback is one look, not many.
    sleep(engine.settings.tick_pause).await;
}

/// A campaign that is being looked at, until this is dropped: a look that panics must not keep the next one away.
struct Entered {
    engine: Arc<Engine>,
    busy: Arc<Busy>,
    run: RunRef,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.busy.leave(self.run) {
            self.engine.signals.campaign_moved(self.run);
        }
    }
}

/// Which campaigns are being looked at, and whether they moved meanwhile.
#[derive(Default)]
struct Busy(Mutex<std::collections::HashMap<RunRef, bool>>);

impl Busy {
    /// True when nobody is at it; else it is noted that it moved.
    fn enter(&self, run: RunRef) -> bool {
        let mut busy = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match busy.get_mut(&run) {
            Some(moved) => {
                *moved = true;
                false
            }
            None => busy.insert(run, false).is_none(),
        }
    }

    /// True when it moved meanwhile.
    fn leave(&self, run: RunRef) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&run)
            .unwrap_or(false)
    }
}

/// Ends updates whose time is up, and writes what is gathered in memory, until it is dropped.
pub async fn deadlines(engine: Arc<Engine>) {
    let pulse = engine.loops.watch("deadlines", patience(&engine));
    loop {
        pulse.beat();
        if let Err(error) = expire(&engine, &pulse).await {
            doubt(&engine, &error);
            tracing::warn!(error = %Chain(&error), "cannot end overdue updates; trying again");
        }
        if let Err(error) = flush_usage(&engine).await {
            tracing::warn!(error = %Chain(&error), "cannot write what plugins cost");
        }
        sleep(engine.settings.tick_period).await;
    }
}

fn patience(engine: &Engine) -> Duration {
    engine.settings.tick_period + SILENCE
}

async fn expire(engine: &Engine, pulse: &Pulse) -> Result<()> {
    loop {
        pulse.beat();
        let touched = engine.store().expire(engine.now(), ROUND).await?;
        devices::forget(engine, &touched);
        for touched in &touched {
            engine.signals.log_grew(touched.device);
        }
        let moved: HashSet<RunRef> = touched
            .iter()
            .filter_map(|touched| {
                Some(RunRef {
                    tenant: touched.tenant,
                    campaign: touched.campaign?,
                })
            })
            .collect();
        for run in moved {
            engine.signals.campaign_moved(run);
        }
        if touched.len() < ROUND as usize {
            return Ok(());
        }
    }
}

/// An error with all its causes.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        std::iter::successors(self.0.source(), |error| error.source())
            .try_for_each(|error| write!(f, ": {error}"))
    }
}
