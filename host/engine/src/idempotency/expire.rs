use tidegate_core::time::Timestamp;

use crate::{Result, ports::Store};

/// Maximum number of requests deleted per transaction.
const BATCH_SIZE: u32 = 500;

/// Deletes requests whose retention has ended.
pub(crate) async fn delete_expired(store: &dyn Store, now: Timestamp) -> Result<()> {
    while store.delete_expired_requests(now, BATCH_SIZE).await? >= u64::from(BATCH_SIZE) {}
    Ok(())
}
