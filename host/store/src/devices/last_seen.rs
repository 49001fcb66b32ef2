use std::net::IpAddr;

use serde::Serialize;
use tidegate_core::time::Timestamp;
use tidegate_engine::ports::{LastSeenRecord, StoreError};

use crate::{
    database::Database,
    dialect::{ColumnType, Dialect},
    error::failed,
    rows::to_json,
    sql::SqlText,
};

/// The maximum number of rows in one transaction. Other writers wait no longer than for one of these.
const MAX_PER_TRANSACTION: usize = 2000;

/// Writes the times in the JSON `$1` of the devices `$2`; on SQLite without their hours.
pub(crate) static LAST_SEEN: SqlText = SqlText::new(update_sql);
/// Writes the hours of the times in the JSON `$1` that [`LAST_SEEN`] has written on SQLite, which sets the entries of an
/// index anew for each column that a statement sets, whether it changes or not. An hour changes once in 720 times.
static HOURS: SqlText = SqlText::new(hours_sql);

/// The hour of a last-seen time, as the column `last_seen_hour`.
pub(crate) fn hour(at: Timestamp) -> i64 {
    at.0.div_euclid(3_600_000)
}

/// Records when devices were last seen; a later time is kept. The times were in memory for seconds, so a crash loses some
/// in any case.
pub(crate) async fn write(database: &Database, seen: &[LastSeenRecord]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row {
        tenant_id: i64,
        id: i64,
        at: i64,
        hour: i64,
        address: Option<IpAddr>,
    }

    let mut rows: Vec<_> = seen
        .iter()
        .map(|seen| Row {
            tenant_id: seen.tenant.0,
            id: seen.device.0,
            at: seen.at.0,
            hour: hour(seen.at),
            address: seen.address,
        })
        .collect();
    // Keep the latest record of each device.
    rows.sort_unstable_by_key(|row| (row.tenant_id, row.id, std::cmp::Reverse(row.at)));
    rows.dedup_by_key(|row| (row.tenant_id, row.id));

    for chunk in rows.chunks(MAX_PER_TRANSACTION) {
        let ids: Vec<_> = chunk.iter().map(|row| row.id).collect();
        let polled = to_json(&chunk)?;
        let mut tx = database.write_unsynced().await?;
        let dialect = tx.dialect();
        sqlx::query(LAST_SEEN.of(dialect))
            .bind(&polled)
            .bind(to_json(&ids)?)
            .execute(tx.conn())
            .await
            .map_err(failed("record last-seen times"))?;
        if dialect == Dialect::Sqlite {
            sqlx::query(HOURS.of(dialect))
                .bind(&polled)
                .execute(tx.conn())
                .await
                .map_err(failed("record last-seen hours"))?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Stores addresses only while the tenant tracks them, even if a record arrives late. A record with the time of the
/// registration is applied as well.
///
/// Locks the rows in the order of tenants and keys before it changes them, as all transactions do that change several
/// devices.
///
/// The unary plus keeps PostgreSQL from reading all devices of the tenant for each row.
fn update_sql(dialect: Dialect) -> String {
    let which = dialect.joined_key_in_json("d.id", "$2");
    let (hour, order) = match dialect {
        Dialect::Sqlite => ("", ""),
        Dialect::Postgres => (
            ", last_seen_hour = seen.hour",
            " ORDER BY d.tenant_id, d.id FOR UPDATE OF d",
        ),
    };
    format!(
        "WITH seen AS (SELECT d.tenant_id, d.id, polled.at, polled.hour, \
         CASE WHEN t.track_address = 1 THEN polled.address END AS address \
         FROM {} CROSS JOIN devices d CROSS JOIN tenants t \
         WHERE +d.tenant_id = polled.tenant_id AND d.id = polled.id AND {which} AND t.id = polled.tenant_id \
         AND (d.last_seen IS NULL OR d.last_seen <= polled.at){order}) \
         UPDATE devices SET last_seen = seen.at, address = seen.address{hour} FROM seen \
         WHERE +devices.tenant_id = seen.tenant_id AND devices.id = seen.id",
        polled_rows(dialect)
    )
}

fn hours_sql(dialect: Dialect) -> String {
    format!(
        "UPDATE devices SET last_seen_hour = polled.hour FROM {} \
         WHERE +devices.tenant_id = polled.tenant_id AND devices.id = polled.id \
         AND devices.last_seen = polled.at AND devices.last_seen_hour IS DISTINCT FROM polled.hour",
        polled_rows(dialect)
    )
}

fn polled_rows(dialect: Dialect) -> String {
    let columns = [
        ("tenant_id", ColumnType::Int),
        ("id", ColumnType::Int),
        ("at", ColumnType::Int),
        ("hour", ColumnType::Int),
        ("address", ColumnType::Text),
    ];
    dialect.json_rows("polled", "$1", &columns)
}
