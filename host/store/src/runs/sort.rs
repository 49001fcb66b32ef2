use tidegate_engine::ports::{Fence, RunRef, StoreError};

use super::{
    lease::lock_if_fenced,
    members::{MemberRange, levels},
};
use crate::database::{Database, LockWait};

/// Sorts the next `limit` released devices of a wave by their keys. Does nothing under a lost fence.
pub(crate) async fn sort_released(
    database: &Database,
    run: RunRef,
    fence: Fence,
    wave: u32,
    limit: u32,
) -> Result<(), StoreError> {
    let mut tx = database.write_by_key(LockWait::Normal).await?;
    if lock_if_fenced(&mut tx, run, fence).await?.is_none() {
        return Ok(());
    }
    let Some((admitted, released)) = levels(&mut tx, run, wave).await? else {
        return Ok(());
    };
    let until = released.min(admitted + u64::from(limit));
    if until <= admitted {
        return Ok(());
    }
    let range = MemberRange::read(&mut tx, run, wave, admitted..until).await?;
    if range.devices().is_sorted() {
        return Ok(());
    }
    range.sort(&mut tx, run, wave).await?;
    tx.commit().await
}
