use tidegate_core::time::Timestamp;
use tidegate_engine::ports::{Fence, RunRef, StoreError};

use super::due;
use crate::{
    campaigns::CampaignRunRow,
    database::{Database, LockWait, Tx},
    error::failed,
    rows::{RowExt as _, row_error},
};

/// Acquires the lease of a campaign until `until`. Returns none if another server has it, or if the campaign does not
/// exist.
///
/// Acquiring the lease clears the dirty flag; later events set it again. Without the flag, no event causes the tick. If the server stops, or fails before it
/// decides on the next wake-up, the campaign is due again when the lease expires.
pub(crate) async fn lease(
    database: &Database,
    run: RunRef,
    server_name: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Fence>, StoreError> {
    const LEASE: &str = "acquire a campaign lease";
    let mut tx = database.write_lease().await?;
    let row = sqlx::query(
        "UPDATE campaign_runs SET lease_owner = $3, lease_until = $5, fence = fence + 1, wake_at = $5, \
         unchanged_ticks = CASE WHEN EXISTS (SELECT 1 FROM campaign_counters k \
         WHERE k.tenant_id = $1 AND k.campaign_id = $2 AND k.dirty_since IS NOT NULL) THEN 0 ELSE unchanged_ticks + 1 END \
         WHERE tenant_id = $1 AND campaign_id = $2 \
         AND (lease_until IS NULL OR lease_until <= $4) \
         RETURNING fence, (SELECT k.dirty_since FROM campaign_counters k \
         WHERE k.tenant_id = $1 AND k.campaign_id = $2) AS dirty_since",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(server_name)
    .bind(now.0)
    .bind(until.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(LEASE))?;
    let Some(row) = row else { return Ok(None) };
    let fence = row.take("fence").map_err(row_error(LEASE))?;
    let dirty_since: Option<i64> = row.take("dirty_since").map_err(row_error(LEASE))?;
    if dirty_since.is_some() {
        clear_dirty_flag(&mut tx, run).await?;
    }
    tx.commit().await?;
    Ok(Some(Fence(fence)))
}

async fn clear_dirty_flag(tx: &mut Tx, run: RunRef) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE campaign_counters SET dirty_since = NULL WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .execute(tx.conn())
    .await
    .map_err(failed("clear the dirty flag of a campaign"))?;
    Ok(())
}

/// Extends a lease. False if it was lost or released.
pub(crate) async fn renew(
    database: &Database,
    run: RunRef,
    fence: Fence,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let mut tx = database.write_lease().await?;
    let renewed = sqlx::query(
        "UPDATE campaign_runs SET lease_until = $4 \
         WHERE tenant_id = $1 AND campaign_id = $2 AND fence = $3 AND lease_owner IS NOT NULL",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(fence.0)
    .bind(until.0)
    .execute(tx.conn())
    .await
    .map_err(failed("renew a campaign lease"))?;
    tx.commit().await?;
    Ok(renewed.rows_affected() > 0)
}

/// Releases a lease. Does nothing if the lease was lost.
pub(crate) async fn release(
    database: &Database,
    run: RunRef,
    fence: Fence,
) -> Result<(), StoreError> {
    let mut tx = database.write_by_key(LockWait::Normal).await?;
    end(&mut tx, run, fence).await?;
    tx.commit().await
}

/// Releases a lease, and makes the campaign due no later than `at`, even if the lease was lost.
pub(crate) async fn requeue(
    database: &Database,
    run: RunRef,
    fence: Fence,
    at: Timestamp,
) -> Result<(), StoreError> {
    let mut tx = database.write_by_key(LockWait::Normal).await?;
    end(&mut tx, run, fence).await?;
    due::wake(&mut tx, run, at).await?;
    tx.commit().await
}

/// Ends a lease with the transaction. Does nothing if the lease was lost.
pub(super) async fn end(tx: &mut Tx, run: RunRef, fence: Fence) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE campaign_runs SET lease_owner = NULL, lease_until = NULL \
         WHERE tenant_id = $1 AND campaign_id = $2 AND fence = $3",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(fence.0)
    .execute(tx.conn())
    .await
    .map_err(failed("release a campaign lease"))?;
    Ok(())
}

/// Locks the campaign if it is still under this fence; no other server can acquire it before the transaction ends.
pub(super) async fn lock_if_fenced(
    tx: &mut Tx,
    run: RunRef,
    fence: Fence,
) -> Result<Option<CampaignRunRow>, StoreError> {
    let run_row = CampaignRunRow::lock(tx, run.tenant, run.campaign).await?;
    Ok(run_row.filter(|run_row| run_row.fence == fence.0))
}
