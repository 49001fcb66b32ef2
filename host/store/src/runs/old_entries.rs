use sqlx::any::AnyRow;
use tidegate_core::{
    id::{CampaignId, TenantId},
    time::Timestamp,
};
use tidegate_engine::ports::StoreError;

use crate::{
    campaigns::CampaignRunRow,
    database::Database,
    error::failed,
    rows::{RowError, RowExt as _, row_error},
    tenant_counters::TenantCounters,
};

/// Removes up to `limit` entries of before this time from the campaign whose journal begins first. Returns their number.
pub(crate) async fn remove_old_entries(
    database: &Database,
    before: Timestamp,
    limit: u32,
) -> Result<u64, StoreError> {
    let Some((tenant, campaign)) = oldest_journal(database, before).await? else {
        return Ok(0);
    };
    let mut tx = database.write().await?;
    let Some(mut run_row) = CampaignRunRow::lock(&mut tx, tenant, campaign).await? else {
        return Ok(0);
    };
    let removed = run_row.remove_old_entries(&mut tx, before, limit).await?;
    let mut tenant_counters = TenantCounters::default();
    run_row.write(&mut tx, &mut tenant_counters).await?;
    tenant_counters.write(&mut tx).await?;
    tx.commit().await?;
    Ok(removed)
}

async fn oldest_journal(
    database: &Database,
    before: Timestamp,
) -> Result<Option<(TenantId, CampaignId)>, StoreError> {
    const FIND: &str = "find the oldest journal";
    let mut tx = database.read_single().await?;
    let row = sqlx::query(
        "SELECT tenant_id, campaign_id FROM campaign_runs WHERE journal_since < $1 ORDER BY journal_since LIMIT 1",
    )
    .bind(before.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(FIND))?;
    let read = |row: &AnyRow| -> Result<_, RowError> {
        let (tenant, campaign) = (row.take("tenant_id")?, row.take("campaign_id")?);
        Ok((TenantId(tenant), CampaignId(campaign)))
    };
    row.as_ref().map(read).transpose().map_err(row_error(FIND))
}
