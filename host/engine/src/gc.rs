use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{Engine, campaigns, chain, idempotency, tenants};

/// Time between two runs of the garbage collection.
const GC_PERIOD: Duration = Duration::from_mins(10);

/// The garbage collection loop: deletes files that crashed servers left behind, expired responses of keyed requests,
/// counters of hours that are not shown any more, and old journal entries. Runs until it is dropped.
pub async fn run_gc(engine: Arc<Engine>) {
    let heartbeat = engine
        .health
        .register_loop("garbage collection", 3 * GC_PERIOD);
    loop {
        let iteration = async {
            // Leases of files are compared with the time of the database.
            if !engine.clock.is_synchronized() {
                return;
            }
            if let Err(error) = engine.files.delete_orphans().await {
                tracing::warn!(error = %chain(&error), "cannot delete orphaned files; retrying");
            }
            if let Err(error) = idempotency::delete_expired(engine.store(), engine.now()).await {
                tracing::warn!(error = %chain(&error), "cannot delete expired responses; retrying");
            }
            if let Err(error) = tenants::delete_old_hours(engine.store(), engine.now()).await {
                tracing::warn!(error = %chain(&error), "cannot delete old counters; retrying");
            }
            let settings = engine.settings.journal;
            let removed = campaigns::remove_old_entries(engine.store(), settings, engine.now());
            if let Err(error) = removed.await {
                tracing::warn!(error = %chain(&error), "cannot remove old journal entries; retrying");
            }
        };
        heartbeat.run(iteration).await;
        sleep(GC_PERIOD).await;
    }
}
