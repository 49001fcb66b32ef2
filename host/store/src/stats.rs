//! read from the tenant counters.

use tidegate_core::{
    Named as _,
    id::{CampaignId, TenantId},
    time::Timestamp,
};
use tidegate_engine::ports::{Stats, StoreError};

use crate::{
    database::Database,
    error::failed,
    rows::{RowError, RowExt as _, row_error},
    tenant_counters::{CounterKind, hour_key},
};

#[cfg(test)]
mod tests;

/// Hours are counted as a whole, from the hour that contains `since`.
pub(crate) async fn stats(
    database: &Database,
    tenant: TenantId,
    since: Timestamp,
) -> Result<Stats, StoreError> {
    let mut tx = database.read_single().await?;
    // Hourly counters are never deleted: read the recent ones only.
    let rows = sqlx::query(
        "SELECT kind, counter_key, value FROM tenant_counters WHERE tenant_id = $1 AND value > 0 \
         AND (kind NOT IN ($3, $4) OR counter_key >= $2) \
         ORDER BY kind, counter_key",
    )
    .bind(tenant.0)
    .bind(hour_key(since))
    .bind(CounterKind::CompletedInHour.as_str())
    .bind(CounterKind::FailedInHour.as_str())
    .fetch_all(tx.conn())
    .await
    .map_err(failed("read tenant counters"))?;
    let mut stats = Stats::default();
    for row in &rows {
        let mut read = || -> Result<(), RowError> {
            let kind: CounterKind = row.parse("kind")?;
            add(
                &mut stats,
                kind,
                row.take("counter_key")?,
                row.count("value")?,
            );
            Ok(())
        };
        read().map_err(row_error("read tenant counter row"))?;
    }
    Ok(stats)
}

pub(crate) async fn last_progress_at(
    database: &Database,
    tenant: TenantId,
    campaign: CampaignId,
) -> Result<Option<Timestamp>, StoreError> {
    let mut tx = database.read_single().await?;
    let row = sqlx::query(
        "SELECT last_progress_at FROM campaign_counters WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(tenant.0)
    .bind(campaign.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed("read the last progress of a campaign"))?;
    let Some(row) = row else { return Ok(None) };
    let last_progress_at: Option<i64> = row
        .take("last_progress_at")
        .map_err(row_error("read campaign row"))?;
    Ok(last_progress_at.map(Timestamp))
}

fn add(stats: &mut Stats, kind: CounterKind, key: String, n: u64) {
    match kind {
        CounterKind::DevicesByState => stats.devices_by_state.push((key, n)),
        CounterKind::DevicesByVersion => stats.devices_by_version.push((key, n)),
        CounterKind::DevicesByModel => stats.devices_by_model.push((key, n)),
        CounterKind::DevicesDrifted => stats.drifted_devices = n,
        CounterKind::UpdatesByStatus => stats.updates_by_status.push((key, n)),
        CounterKind::CampaignsByStatus => stats.campaigns_by_status.push((key, n)),
        CounterKind::CompletedInHour => stats.completed_recently += n,
        CounterKind::FailedInHour => stats.failed_recently += n,
        CounterKind::LastChange => stats.last_change = i64::try_from(n).ok().map(Timestamp),
    }
}
