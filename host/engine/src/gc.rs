use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{Engine, idempotency};

/// Time between two runs of the garbage collection.
const GC_PERIOD: Duration = Duration::from_mins(10);

/// The garbage collection loop: deletes files that crashed servers left behind, and expired responses of keyed
/// requests. Runs until it is dropped.
pub async fn run_gc(engine: Arc<Engine>) {
    let heartbeat = engine
        .health
        .register_loop("garbage collection", 3 * GC_PERIOD);
    loop {
        heartbeat.beat();
        if let Err(error) = engine.files.delete_orphans().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "cannot delete orphaned files; retrying");
        }
        if let Err(error) = idempotency::delete_expired(engine.store(), engine.now()).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "cannot delete expired responses; retrying");
        }
        sleep(GC_PERIOD).await;
    }
}
