use crate::{Engine, Result};

/// Maximum number of requests deleted per transaction.
const BATCH_SIZE: u32 = 500;

/// Deletes requests whose retention has ended.
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
