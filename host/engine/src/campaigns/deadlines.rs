use std::{collections::HashSet, sync::Arc};

use tokio::time::sleep;

use super::{
    recheck::recheck_updates,
    reconcile::{BATCH_SIZE, max_silence},
    tick::invalidate_if_unavailable,
};
use crate::{Engine, Error, Heartbeat, Result, chain, plugins::flush_usage, ports::RunRef};

/// The loop that expires updates and writes plugin usage. Runs until it is dropped.
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

/// Keeps the reporting clock, then ends overdue updates and offers due retries, up to the size of a batch of each; returns
/// the number of both. Continues the approvals of servers that died. Called by the loop; tests call it directly.
pub async fn expire_batch(engine: &Engine) -> Result<usize> {
    if !engine.keep_reporting_clock().await? {
        return Ok(0);
    }
    apply_approvals(engine).await?;
    let mut affected = recheck_updates(engine).await?;
    let expired = engine
        .store()
        .expire_updates(engine.now(), BATCH_SIZE)
        .await?;
    let count = expired.len();
    affected.extend(expired);
    engine.caches.invalidate_affected(&affected);
    for affected in &affected {
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
    Ok(count)
}

/// Continues the approvals of servers that died. One that fails stops nothing else.
async fn apply_approvals(engine: &Engine) -> Result<()> {
    for (tenant, approval) in engine.store().unapplied_approvals(BATCH_SIZE).await? {
        let writer = &engine.update_writer;
        let applied = writer.apply_approval(tenant, approval, engine.now()).await;
        match applied {
            Err(error @ Error::Unavailable { .. }) => return Err(error),
            Err(error) => {
                tracing::warn!(error = %chain(&error), %tenant, %approval, "approval not applied; retrying");
            }
            Ok(()) => {}
        }
    }
    Ok(())
}
