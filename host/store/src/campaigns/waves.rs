use std::collections::HashMap;

use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::{
    id::{CampaignId, TenantId},
    measurement::Durations,
    time::Timestamp,
    wave::{Counts, Failure, WaveReport},
};
use tidegate_engine::ports::{Advance, StoreError, Wave};

use super::json::AdvanceJson;
use crate::{
    database::Tx,
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
};

const READ: &str = "read waves";

/// The campaign's waves, in order; empty before the start.
pub(crate) async fn waves(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
) -> Result<Vec<Wave>, StoreError> {
    let rows = sqlx::query(
        "SELECT wave, name, size, released, admitted, offered, in_progress, completed, failed, timed_out, cancelled, \
         rejected, accepted_failures, opened_at, last_progress_at, advanced_at, advance \
         FROM waves WHERE tenant_id = $1 AND campaign_id = $2 ORDER BY wave",
    )
    .bind(tenant.0)
    .bind(id.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    let mut failures = failures(tx, tenant, id).await?;
    rows.iter()
        .map(|row| {
            let failures = failures.remove(&row.take("wave")?).unwrap_or_default();
            from_row(row, failures)
        })
        .collect::<Result<_, _>>()
        .map_err(row_error(READ))
}

/// The counters of all waves of each campaign together. A campaign that has not started is missing.
pub(super) async fn sum_by_campaign(
    tx: &mut Tx,
    tenant: TenantId,
    ids: &[CampaignId],
) -> Result<HashMap<CampaignId, Counts>, StoreError> {
    const READ: &str = "sum the counters of waves";
    let sums = [
        "size",
        "offered",
        "in_progress",
        "completed",
        "failed",
        "timed_out",
        "cancelled",
        "rejected",
    ]
    .map(|column| format!("CAST(SUM({column}) AS BIGINT) AS {column}"))
    .join(", ");
    let id_list = tx.dialect().json_numbers("$2");
    let sql = format!(
        "SELECT campaign_id, {sums} FROM waves \
         WHERE tenant_id = $1 AND campaign_id IN (SELECT value FROM {id_list}) GROUP BY campaign_id"
    );
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(to_json(&ids)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    rows.iter()
        .map(|row| Ok((CampaignId(row.take("campaign_id")?), counts(row)?)))
        .collect::<Result<_, _>>()
        .map_err(row_error(READ))
}

/// Locks the campaign's counters. Feedback changes waves as well; a transaction that changes several waves locks this
/// row first.
pub(crate) async fn lock_counters(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
) -> Result<(), StoreError> {
    let lock = tx.dialect().for_update();
    let sql = format!(
        "SELECT campaign_id FROM campaign_counters WHERE tenant_id = $1 AND campaign_id = $2{lock}"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(id.0)
        .fetch_optional(tx.conn())
        .await
        .map_err(failed("lock the counters of a campaign"))?;
    Ok(())
}

/// Stores an operator's advance with its wave. Strategies see it unless a decision has not applied it.
pub(crate) async fn write_advance(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    wave: u32,
    advance: Advance,
) -> Result<(), StoreError> {
    let advanced_at = (advance.applied != Some(false)).then_some(advance.at.0);
    sqlx::query(
        "UPDATE waves SET advanced_at = $4, advance = $5 WHERE tenant_id = $1 AND campaign_id = $2 AND wave = $3",
    )
    .bind(tenant.0)
    .bind(id.0)
    .bind(i64::from(wave))
    .bind(advanced_at)
    .bind(to_json(&AdvanceJson::from(advance))?)
    .execute(tx.conn())
    .await
    .map_err(failed("store an advance"))?;
    Ok(())
}

/// Failure codes by wave, most frequent first.
async fn failures(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
) -> Result<HashMap<i64, Vec<Failure>>, StoreError> {
    let rows = sqlx::query(
        "SELECT wave, code, devices FROM wave_failures WHERE tenant_id = $1 AND campaign_id = $2 \
         AND devices > 0 ORDER BY devices DESC, code",
    )
    .bind(tenant.0)
    .bind(id.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed("read failures"))?;
    let mut by_wave: HashMap<i64, Vec<Failure>> = HashMap::new();
    for row in &rows {
        let read = || {
            let failure = Failure {
                code: row.take("code")?,
                devices: row.count("devices")?,
            };
            Ok((row.take("wave")?, failure))
        };
        let (wave, failure) = read().map_err(row_error("read failures"))?;
        by_wave.entry(wave).or_default().push(failure);
    }
    Ok(by_wave)
}

fn from_row(row: &AnyRow, failures: Vec<Failure>) -> Result<Wave, RowError> {
    let time = |column| Ok::<_, RowError>(row.take::<Option<i64>>(column)?.map(Timestamp));
    let report = WaveReport {
        name: row.take("name")?,
        size: row.count("size")?,
        released: row.count("released")?,
        counts: counts(row)?,
        opened_at: time("opened_at")?,
        last_progress_at: time("last_progress_at")?,
        advanced_at: time("advanced_at")?,
        failures,
        // Read for ticks only.
        durations: Durations::default(),
    };
    Ok(Wave {
        report,
        admitted: row.count("admitted")?,
        accepted: row.count("accepted_failures")?,
        advance: row
            .json_optional::<AdvanceJson>("advance")?
            .map(Advance::from),
    })
}

/// The counters of one wave, or of several together. The devices in no other state are pending.
fn counts(row: &AnyRow) -> Result<Counts, RowError> {
    let mut counts = Counts {
        pending: 0,
        offered: row.count("offered")?,
        in_progress: row.count("in_progress")?,
        completed: row.count("completed")?,
        failed: row.count("failed")?,
        timed_out: row.count("timed_out")?,
        cancelled: row.count("cancelled")?,
        rejected: row.count("rejected")?,
    };
    counts.pending = row
        .count("size")?
        .checked_sub(counts.total())
        .ok_or_else(|| RowError::OutOfRange {
            column: "devices of a wave",
            value: counts.total() as i64,
        })?;
    Ok(counts)
}
