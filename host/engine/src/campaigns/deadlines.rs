use std::{collections::HashSet, sync::Arc};

use tokio::time::sleep;

use super::{
    reconcile::{BATCH_SIZE, max_silence},
    tick::invalidate_if_unavailable,
};
use crate::{
    Engine, Heartbeat, Result, chain,
    plugins::flush_usage,
    ports::{AffectedDevice, RunRef},
};

/// The loop that keeps the reporting clock, expires updates and writes plugin usage. Runs until it is dropped. It never
/// waits for plugins: the clock would count a slow one as an absence of the server.
pub async fn expire_updates_loop(engine: Arc<Engine>) {
    let heartbeat = engine
        .health
        .register_loop("deadlines", max_silence(&engine));
    loop {
        let iteration = async {
            if let Err(error) = expire_updates(&engine, &heartbeat).await {
                invalidate_if_unavailable(&engine, &error);
                tracing::warn!(error = %chain(&error), "cannot expire updates; retrying");
            }
            if let Err(error) = flush_usage(engine.store(), engine.plugins()).await {
                tracing::warn!(error = %chain(&error), "cannot write plugin usage");
            }
        };
        heartbeat.run(iteration).await;
        sleep(engine.settings.tick_period).await;
    }
}

async fn expire_updates(engine: &Engine, heartbeat: &Heartbeat) -> Result<()> {
    loop {
        heartbeat.beat();
        if expire_batch(engine).await? < BATCH_SIZE as usize {
            return Ok(());
        }
    }
}

/// Keeps the reporting clock, ends overdue updates and offers due retries, up to the size of a batch of each; returns the
/// number of both. Called by the loop; tests call it directly.
pub async fn expire_batch(engine: &Engine) -> Result<usize> {
    // The time of the database is not known yet, or another server may keep the clock.
    if !engine.clock.is_synchronized() || !engine.keep_reporting_clock().await? {
        return Ok(0);
    }
    let store = engine.store();
    let expired = store.expire_updates(engine.now(), BATCH_SIZE).await?;
    publish(engine, &expired);
    Ok(expired.len())
}

/// The read model follows updates that have changed, and their campaigns and watchers are woken.
pub(super) fn publish(engine: &Engine, affected: &[AffectedDevice]) {
    engine.caches.invalidate_affected(affected);
    for affected in affected {
        engine.signals.notify_log_watchers(affected.device);
    }
    let woken: HashSet<RunRef> = affected
        .iter()
        .filter_map(|affected| {
            Some(RunRef {
                tenant: affected.tenant,
                campaign: affected.campaign?,
            })
        })
        .collect();
    for run in woken {
        engine.signals.wake_campaign(run);
    }
}
