use tidegate_core::time::Timestamp;
use tidegate_engine::ports::{Fence, RunRef, StoreError};

use crate::{
    campaigns::CampaignRunRow,
    database::{Database, Tx},
    error::failed,
    rows::{RowExt as _, row_error},
};

/// Takes the campaign for this host until then. None: another host has it, or there is no such campaign.
///
/// Whoever takes it looks at everything that stirred it before, so that is forgotten here: what comes later stirs it
/// anew. Should the host die over it, or fail before it decides when to look again, the campaign is due again when the
/// lease would end.
pub(super) async fn lease(
    database: &Database,
    run: RunRef,
    owner: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Fence>, StoreError> {
    const LEASE: &str = "take the lease of a campaign";
    let mut tx = database.write().await?;
    let row = sqlx::query(
        "UPDATE campaign_runs SET lease_owner = $3, lease_until = $5, fence = fence + 1, wake_at = $5 \
         WHERE tenant_id = $1 AND campaign_id = $2 \
         AND (lease_until IS NULL OR lease_until <= $4) RETURNING fence",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(owner)
    .bind(now.0)
    .bind(until.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(LEASE))?;
    let Some(row) = row else { return Ok(None) };
    let fence = row.take("fence").map_err(row_error(LEASE))?;
    sqlx::query(
        "UPDATE campaign_counters SET dirty_since = NULL WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .execute(tx.conn())
    .await
    .map_err(failed(LEASE))?;
    tx.commit().await?;
    Ok(Some(Fence(fence)))
}

/// Gives a lease back; a lease that was lost is fine.
pub(super) async fn release(
    database: &Database,
    run: RunRef,
    fence: Fence,
) -> Result<(), StoreError> {
    let mut tx = database.write().await?;
    sqlx::query(
        "UPDATE campaign_runs SET lease_owner = NULL, lease_until = NULL \
         WHERE tenant_id = $1 AND campaign_id = $2 AND fence = $3",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(fence.0)
    .execute(tx.conn())
    .await
    .map_err(failed("give back the lease of a campaign"))?;
    tx.commit().await
}

/// Where the campaign stands, if it is still under this fence; nobody else can take it before the transaction ends.
pub(super) async fn lock_if_fenced(
    tx: &mut Tx,
    run: RunRef,
    fence: Fence,
) -> Result<Option<CampaignRunRow>, StoreError> {
    let run_row = CampaignRunRow::lock(tx, run.tenant, run.campaign).await?;
    Ok(run_row.filter(|run_row| run_row.fence == fence.0))
}
