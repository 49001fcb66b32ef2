//! The row of the reporting clock.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use tidegate_core::{reporting_clock::ReportingClock, time::Timestamp};
use tidegate_engine::ports::{Beat, Clock, ClockAfterBeat, Interruption, StoreError};

use crate::{
    database::{Database, Tx},
    dialect::Dialect,
    error::failed,
    rows::{RowError, RowExt as _, row_error},
};

#[cfg(test)]
mod tests;

const READ: &str = "read the reporting clock";

/// Reads the clock, also for later transactions of this server.
pub(crate) async fn read(database: &Database) -> Result<ReportingClock, StoreError> {
    let mut tx = database.read_single().await?;
    let clock = row(&mut tx, "").await?.unwrap_or_default();
    database.set_known_clock(clock);
    Ok(clock)
}

/// The longest polling interval that is set for a single device with an open update, among all tenants. Read from indexes.
pub(crate) async fn longest_interval_of_updated_devices(
    database: &Database,
) -> Result<Option<Duration>, StoreError> {
    const READ: &str = "read the longest polling interval of devices";
    let mut tx = database.read_single().await?;
    let longest = sqlx::query_scalar(
        "SELECT d.polling_seconds FROM devices d WHERE d.polling_seconds IS NOT NULL AND EXISTS \
         (SELECT 1 FROM updates u WHERE u.tenant_id = d.tenant_id AND u.device_key = d.id AND u.completed_at IS NULL) \
         ORDER BY d.polling_seconds DESC LIMIT 1",
    );
    let seconds: Option<i64> = longest
        .fetch_optional(tx.conn())
        .await
        .map_err(failed(READ))?;
    Ok(seconds.map(|seconds| Duration::from_secs(seconds.unsigned_abs())))
}

/// Records a heartbeat at the time when its row is locked. The one of a start is not recorded while another server may keep
/// the clock.
pub(crate) async fn record_beat(
    database: &Database,
    time: &dyn Clock,
    beat: Beat,
) -> Result<ClockAfterBeat, StoreError> {
    let mut tx = database.write().await?;
    let lock = tx.dialect().for_update();
    let recorded = row(&mut tx, lock).await?;
    let at = time.now();
    let before = match recorded {
        Some(clock) if tx.dialect() == Dialect::Postgres && is_ambiguous(&clock, beat, at) => {
            return Ok(ClockAfterBeat { clock, at });
        }
        Some(clock) => clock,
        // Written by a version without heartbeats.
        None => ReportingClock {
            beat_at: last_seen(&mut tx).await?,
            ..ReportingClock::default()
        },
    };
    let clock = before.beat(at, beat.interruption.is_some(), beat.grace);
    sqlx::query(
        "INSERT INTO reporting_clock (name, stopped_ms, beat_at, runs_from) VALUES ('updates', $1, $2, $3) \
         ON CONFLICT (name) DO UPDATE SET stopped_ms = excluded.stopped_ms, beat_at = excluded.beat_at, \
         runs_from = excluded.runs_from",
    )
    .bind(clock.stopped_ms)
    .bind(clock.beat_at.map(|at| at.0))
    .bind(clock.runs_from.map(|at| at.0))
    .execute(tx.conn())
    .await
    .map_err(failed("record a heartbeat"))?;
    tx.commit().await?;
    database.set_known_clock(clock);
    Ok(ClockAfterBeat { clock, at })
}

/// Whether devices could report to another server of the database before this one started, which shows when the next
/// heartbeat is due.
fn is_ambiguous(clock: &ReportingClock, beat: Beat, at: Timestamp) -> bool {
    beat.interruption == Some(Interruption::Start) && clock.may_be_kept_by_others(at)
}

async fn row(tx: &mut Tx, lock: &'static str) -> Result<Option<ReportingClock>, StoreError> {
    let sql = format!(
        "SELECT stopped_ms, beat_at, runs_from FROM reporting_clock WHERE name = 'updates'{lock}"
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .fetch_optional(tx.conn())
        .await
        .map_err(failed(READ))?;
    let clock = row.map(|row| {
        Ok::<_, RowError>(ReportingClock {
            stopped_ms: row.take("stopped_ms")?,
            beat_at: row.take::<Option<i64>>("beat_at")?.map(Timestamp),
            runs_from: row.take::<Option<i64>>("runs_from")?.map(Timestamp),
        })
    });
    clock.transpose().map_err(row_error(READ))
}

/// When any device was last seen.
async fn last_seen(tx: &mut Tx) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<i64> = sqlx::query_scalar("SELECT MAX(last_seen) FROM devices")
        .fetch_one(tx.conn())
        .await
        .map_err(failed(READ))?;
    Ok(at.map(Timestamp))
}
