use crate::{Engine, Result};

/// Most requests that are forgotten in one transaction.
const BATCH: u32 = 500;

/// Forgets requests whose time is up.
pub(crate) async fn forget(engine: &Engine) -> Result<()> {
    let now = engine.now();
    while engine.store().forget_requests(now, BATCH).await? >= u64::from(BATCH) {}
    Ok(())
}
