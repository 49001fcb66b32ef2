use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::Engine;

/// How often the difference to the database's clock is measured.
const PERIOD: Duration = Duration::from_mins(1);
/// Maximum time without a heartbeat before the loop counts as stuck.
const MAX_SILENCE: Duration = Duration::from_mins(5);

/// Measures the difference to the database's clock periodically, until it is dropped.
pub async fn synchronize_clock_loop(engine: Arc<Engine>) {
    let heartbeat = engine.health.register_loop("clock", MAX_SILENCE);
    loop {
        sleep(PERIOD).await;
        heartbeat.run(engine.synchronize_clock()).await;
    }
}
