use tidegate_core::{
    id::{CampaignId, TenantId},
    time::Timestamp,
};
use tidegate_engine::ports::StoreError;

use super::append::{JournalExtent, ROW_BYTES};
use crate::{
    database::Tx,
    error::failed,
    rows::{RowExt as _, row_error},
};

const REMOVE: &str = "remove old journal entries";

/// Removes the oldest entries, up to the first one that is not of before this time, with the contents that no other entry
/// has. The caller has locked the campaign, and writes the extent.
pub(crate) async fn remove(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: CampaignId,
    extent: &mut JournalExtent,
    before: Timestamp,
    limit: u32,
) -> Result<u64, StoreError> {
    let end = extent.last.min(extent.removed + i64::from(limit));
    let kept: Option<i64> = sqlx::query_scalar(
        "SELECT MIN(seq) FROM journal \
         WHERE tenant_id = $1 AND campaign_id = $2 AND seq > $3 AND seq <= $4 AND at >= $5",
    )
    .bind(tenant.0)
    .bind(campaign.0)
    .bind(extent.removed)
    .bind(end)
    .bind(before.0)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(REMOVE))?;
    let end = kept.map_or(end, |kept| kept - 1);
    let entries = sqlx::query(
        "DELETE FROM journal WHERE tenant_id = $1 AND campaign_id = $2 AND seq > $3 AND seq <= $4 \
         RETURNING CAST(OCTET_LENGTH(input) + OCTET_LENGTH(output) + OCTET_LENGTH(explain) \
         + COALESCE(OCTET_LENGTH(log), 0) AS BIGINT) AS bytes",
    )
    .bind(tenant.0)
    .bind(campaign.0)
    .bind(extent.removed)
    .bind(end)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(REMOVE))?;
    let contents = sqlx::query(
        "DELETE FROM journal_contents WHERE tenant_id = $1 AND campaign_id = $2 AND last_seq <= $3 \
         RETURNING CAST(OCTET_LENGTH(content) AS BIGINT) AS bytes",
    )
    .bind(tenant.0)
    .bind(campaign.0)
    .bind(end)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(REMOVE))?;
    let sizes = entries.iter().chain(&contents);
    let sizes = sizes.map(|row| Ok(ROW_BYTES + row.count("bytes")?));
    let bytes: Result<u64, _> = sizes.sum();
    extent.bytes = extent
        .bytes
        .saturating_sub(bytes.map_err(row_error(REMOVE))?);
    extent.removed = end;
    extent.since = oldest_left(tx, tenant, campaign, end).await?;
    Ok(entries.len() as u64)
}

async fn oldest_left(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: CampaignId,
    removed: i64,
) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<i64> = sqlx::query_scalar(
        "SELECT at FROM journal WHERE tenant_id = $1 AND campaign_id = $2 AND seq > $3 ORDER BY seq LIMIT 1",
    )
    .bind(tenant.0)
    .bind(campaign.0)
    .bind(removed)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(REMOVE))?;
    Ok(at.map(Timestamp))
}
