use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{Engine, files, idempotency};

/// How often is looked for what is no longer wanted.
const PERIOD: Duration = Duration::from_mins(10);

/// Clears away what nobody wants any more, again and again, until it is dropped: files that dead hosts left behind, and
/// answers that were kept for long enough.
pub async fn keep_house(engine: Arc<Engine>) {
    let pulse = engine.loops.watch("housekeeping", 3 * PERIOD);
    loop {
        pulse.beat();
        if let Err(error) = files::sweep(&engine).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "cannot look for stray files; trying again");
        }
        if let Err(error) = idempotency::forget(&engine).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "cannot forget old answers; trying again");
        }
        sleep(PERIOD).await;
    }
}
