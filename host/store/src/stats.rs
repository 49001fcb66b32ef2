//! read from the tenant counters.

use strum::VariantArray as _;
use tidegate_core::{
    Named as _,
    device::DeviceState,
    id::{CampaignId, TenantId},
    time::Timestamp,
};
use tidegate_engine::ports::{OverdueRule, Stats, StoreError};

use crate::{
    database::{Database, Tx},
    devices::last_seen::hour,
    error::failed,
    rows::{RowError, RowExt as _, row_error},
    selector_sql::is_overdue,
    sql::{Parameters, literals},
    tenant_counters::{CounterKind, hour_key},
};

#[cfg(test)]
mod tests;

/// Hours are counted as a whole, from the hour that contains `since`.
pub(crate) async fn stats(
    database: &Database,
    tenant: TenantId,
    since: Timestamp,
    overdue: Option<&OverdueRule>,
) -> Result<Stats, StoreError> {
    read(database, tenant, since, overdue, CounterKind::VARIANTS).await
}

/// Like [`stats`], without the kinds that may have many counters.
pub(crate) async fn stats_without_values(
    database: &Database,
    tenant: TenantId,
    since: Timestamp,
    overdue: Option<&OverdueRule>,
) -> Result<Stats, StoreError> {
    let kinds = CounterKind::VARIANTS.iter().copied();
    let kinds: Vec<_> = kinds.filter(|kind| kind.device_value().is_none()).collect();
    read(database, tenant, since, overdue, &kinds).await
}

async fn read(
    database: &Database,
    tenant: TenantId,
    since: Timestamp,
    overdue: Option<&OverdueRule>,
    kinds: &[CounterKind],
) -> Result<Stats, StoreError> {
    let mut tx = match overdue {
        None => database.read_single().await?,
        Some(_) => database.read().await?,
    };
    // Garbage collection deletes older hourly counters later.
    let sql = format!(
        "SELECT kind, counter_key, value FROM tenant_counters WHERE tenant_id = $1 AND value > 0 \
         AND kind IN ({}) AND (kind NOT IN ($3, $4) OR counter_key >= $2) \
         ORDER BY kind, counter_key",
        literals(kinds.iter().copied())
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
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
    if let Some(overdue) = overdue {
        let by_state = overdue_by_state(&mut tx, tenant, overdue).await?;
        move_overdue(&mut stats.devices_by_state, by_state);
    }
    Ok(stats)
}

pub(crate) async fn delete_old_hours(
    database: &Database,
    before: Timestamp,
    limit: u32,
) -> Result<u64, StoreError> {
    let mut tx = database.write().await?;
    let deleted = sqlx::query(
        "DELETE FROM tenant_counters WHERE (tenant_id, kind, counter_key) IN (\
         SELECT tenant_id, kind, counter_key FROM tenant_counters WHERE kind IN ($2, $3) AND counter_key < $1 \
         ORDER BY tenant_id, kind, counter_key LIMIT $4)",
    )
    .bind(hour_key(before))
    .bind(CounterKind::CompletedInHour.as_str())
    .bind(CounterKind::FailedInHour.as_str())
    .bind(i64::from(limit))
    .execute(tx.conn())
    .await
    .map_err(failed("delete old tenant counters"))?;
    tx.commit().await?;
    Ok(deleted.rows_affected())
}

/// The number of overdue devices by their stored state.
async fn overdue_by_state(
    tx: &mut Tx,
    tenant: TenantId,
    overdue: &OverdueRule,
) -> Result<Vec<(String, u64)>, StoreError> {
    let mut parameters = Parameters::default();
    let tenant = parameters.bind(tenant.0);
    let hour = parameters.bind(hour(overdue.before));
    let is_overdue = is_overdue(overdue, tx.dialect(), &mut parameters);
    // The hour has an index.
    let sql = format!(
        "SELECT d.state, COUNT(*) AS total FROM devices d \
         WHERE d.tenant_id = {tenant} AND d.last_seen_hour <= {hour} AND {is_overdue} GROUP BY d.state"
    );
    let rows = parameters
        .query(sql)?
        .fetch_all(tx.conn())
        .await
        .map_err(failed("count overdue devices"))?;
    rows.iter()
        .map(|row| Ok((row.take("state")?, row.count("total")?)))
        .collect::<Result<_, _>>()
        .map_err(row_error("count overdue devices"))
}

/// Counts devices as overdue instead of in their stored state.
fn move_overdue(by_state: &mut Vec<(String, u64)>, overdue: Vec<(String, u64)>) {
    let total: u64 = overdue.iter().map(|(_, n)| n).sum();
    if total == 0 {
        return;
    }
    for (state, n) in overdue {
        if let Some((_, count)) = by_state.iter_mut().find(|(name, _)| *name == state) {
            *count = count.saturating_sub(n);
        }
    }
    by_state.retain(|(_, count)| *count > 0);
    by_state.push((DeviceState::Overdue.as_str().to_owned(), total));
    by_state.sort_unstable();
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
        CounterKind::DevicesOfOtherVersion => stats.devices_of_other_version = n,
        CounterKind::DevicesOfOtherModel => stats.devices_of_other_model = n,
        CounterKind::DistinctVersions | CounterKind::DistinctModels => {}
        CounterKind::DevicesDrifted => stats.drifted_devices = n,
        CounterKind::UpdatesByStatus => stats.updates_by_status.push((key, n)),
        CounterKind::CampaignsByStatus => stats.campaigns_by_status.push((key, n)),
        CounterKind::CompletedInHour => stats.completed_recently += n,
        CounterKind::FailedInHour => stats.failed_recently += n,
        CounterKind::JournalBytes => stats.journal_bytes = n,
        CounterKind::LastChange => stats.last_change = i64::try_from(n).ok().map(Timestamp),
    }
}
