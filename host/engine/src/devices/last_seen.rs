use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{Engine, Result, access, chain, tenants};

/// How often last-seen times are written.
const FLUSH_PERIOD: Duration = Duration::from_secs(5);
/// Maximum time without a heartbeat before the loop counts as stuck.
const MAX_SILENCE: Duration = Duration::from_mins(5);
/// Maximum number of devices written per period. Under load the rest stays buffered, where repeated polls of a device
/// cost nothing: last-seen times lag behind, and polls do not.
const MAX_PER_FLUSH: usize = 20_000;
/// Maximum number of devices per transaction, so that feedback does not wait long behind it.
const BATCH_SIZE: usize = 250;

/// Writes all buffered last-seen times. Times that cannot be written stay buffered.
pub async fn flush_last_seen(engine: &Engine) -> Result<()> {
    write_last_seen(engine, usize::MAX).await
}

async fn write_last_seen(engine: &Engine, limit: usize) -> Result<()> {
    let buffer = &engine.caches.last_seen;
    let taken = buffer.take(limit);
    let mut written = 0;
    let mut result = Ok(());
    for batch in taken.records.chunks(BATCH_SIZE) {
        let started = Instant::now();
        let recorded = engine.store().record_last_seen(batch.to_vec()).await;
        engine.ports.observer.last_seen_written(started.elapsed());
        if let Err(error) = recorded {
            result = Err(error.into());
            break;
        }
        written += batch.len();
    }
    buffer.finish(&taken, written);
    result
}

/// Writes the last-seen times of devices, and the last-use times of gateways and API keys, periodically, until it is
/// dropped.
pub async fn flush_last_seen_loop(engine: Arc<Engine>) {
    let heartbeat = engine.health.register_loop("last seen", MAX_SILENCE);
    loop {
        sleep(FLUSH_PERIOD).await;
        let iteration = async {
            for written in [
                write_last_seen(&engine, MAX_PER_FLUSH).await,
                access::flush_gateway_uses(engine.store(), engine.caches()).await,
                tenants::flush_key_uses(engine.store(), engine.caches()).await,
            ] {
                if let Err(error) = written {
                    tracing::warn!(error = %chain(&error), "last-seen times not written, retrying");
                }
            }
        };
        heartbeat.run(iteration).await;
    }
}
