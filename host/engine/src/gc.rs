use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{Engine, files, idempotency};

/// How often is looked for what is no longer wanted.
const GC_PERIOD: Duration = Duration::from_mins(10);

/// Clears away what nobody wants any more, again and again, until it is dropped: files that dead hosts left behind, and
/// answers that were kept for long enough.
pub async fn run_gc(engine: Arc<Engine>) {
    let heartbeat = engine.health.register_loop("housekeeping", 3 * GC_PERIOD);
    loop {
        heartbeat.beat();
        if let Err(error) = files::delete_orphans(&engine).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "cannot look for stray files; trying again");
        }
        if let Err(error) = idempotency::delete_expired(&engine).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "cannot forget old answers; trying again");
        }
        sleep(GC_PERIOD).await;
    }
}
