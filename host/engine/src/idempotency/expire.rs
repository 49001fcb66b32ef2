use crate::{Engine, Result};

/// Most requests that are forgotten in one transaction.
const BATCH_SIZE: u32 = 500;

/// Forgets requests whose time is up.
pub(crate) async fn delete_expired(engine: &Engine) -> Result<()> {
    let now = engine.now();
    while engine
        .store()
        .delete_expired_requests(now, BATCH_SIZE)
        .await?
        >= u64::from(BATCH_SIZE)
    {}
    Ok(())
}
