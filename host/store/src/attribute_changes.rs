//! The history of the attributes that devices report.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::{Named as _, device::AttributeMode, id::TenantId, time::Timestamp};
use tidegate_engine::ports::{
    AttributeChange, DeviceReport, MAX_CHANGES, Page, PageRequest, StoreError,
};

use crate::{
    database::{Database, Tx},
    dialect::{ColumnType, storable},
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_i64, to_json},
};

const READ: &str = "read attribute changes";

/// A page of attribute changes of a device, newest first; none if the device does not exist.
pub(crate) async fn page(
    database: &Database,
    tenant: TenantId,
    device_id: &str,
    page: PageRequest,
) -> Result<Option<Page<AttributeChange>>, StoreError> {
    let mut tx = database.read().await?;
    let row = sqlx::query(
        "SELECT id, attribute_change_seq FROM devices WHERE tenant_id = $1 AND device_id = $2",
    )
    .bind(tenant.0)
    .bind(storable(device_id).into_owned())
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(READ))?;
    let Some(row) = row else { return Ok(None) };
    let read = || Ok((row.take("id")?, row.count("attribute_change_seq")?));
    let (key, change_count): (i64, u64) = read().map_err(row_error(READ))?;
    let rows = sqlx::query(
        "SELECT seq, report_seq, at, mode, attribute_key, value_before, value_after FROM device_attribute_changes \
         WHERE tenant_id = $1 AND device_key = $2 ORDER BY seq DESC LIMIT $3 OFFSET $4",
    )
    .bind(tenant.0)
    .bind(key)
    .bind(i64::from(page.limit))
    .bind(to_i64(page.offset))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    let items: Result<Vec<_>, _> = rows.iter().map(from_row).collect();
    Ok(Some(Page {
        items: items.map_err(row_error(READ))?,
        total: change_count.min(MAX_CHANGES.unsigned_abs()),
    }))
}

fn from_row(row: &AnyRow) -> Result<AttributeChange, RowError> {
    Ok(AttributeChange {
        seq: row.count("seq")?,
        report: row.count("report_seq")?,
        at: Timestamp(row.take("at")?),
        mode: row.parse("mode")?,
        key: row.take("attribute_key")?,
        before: row.take("value_before")?,
        after: row.take("value_after")?,
    })
}

/// The attribute changes that a transaction adds, and the ones that exceed the limit and are deleted.
#[derive(Debug, Default)]
pub(crate) struct AttributeChangeLog {
    new: Vec<ChangeRow>,
    expired: Vec<ExpiredChange>,
}

#[derive(Debug, Serialize)]
struct ChangeRow {
    tenant_id: i64,
    device_key: i64,
    seq: i64,
    report_seq: i64,
    at: i64,
    mode: &'static str,
    attribute_key: String,
    value_before: Option<String>,
    value_after: Option<String>,
}

#[derive(Debug, Serialize)]
struct ExpiredChange {
    tenant_id: i64,
    device_key: i64,
    seq: i64,
}

impl AttributeChangeLog {
    /// Adds the changes of a report: keys with their old and new values. `last` is the device's last sequence number;
    /// returns the new one.
    pub(crate) fn add<'a>(
        &mut self,
        report: &DeviceReport,
        mode: AttributeMode,
        last: i64,
        changed: impl Iterator<Item = (&'a str, Option<&'a str>, Option<&'a str>)>,
    ) -> i64 {
        let (tenant_id, device_key) = (report.tenant.0, report.device.0);
        let mut seq = last;
        for (key, before, after) in changed {
            seq += 1;
            self.new.push(ChangeRow {
                tenant_id,
                device_key,
                seq,
                report_seq: last + 1,
                at: report.at.0,
                mode: mode.as_str(),
                attribute_key: key.to_owned(),
                value_before: before.map(str::to_owned),
                value_after: after.map(str::to_owned),
            });
            if seq > MAX_CHANGES {
                let seq = seq - MAX_CHANGES;
                self.expired.push(ExpiredChange {
                    tenant_id,
                    device_key,
                    seq,
                });
            }
        }
        seq
    }

    pub(crate) async fn write(self, tx: &mut Tx) -> Result<(), StoreError> {
        if !self.new.is_empty() {
            let columns = [
                ("tenant_id", ColumnType::Int),
                ("device_key", ColumnType::Int),
                ("seq", ColumnType::Int),
                ("report_seq", ColumnType::Int),
                ("at", ColumnType::Int),
                ("mode", ColumnType::Text),
                ("attribute_key", ColumnType::Text),
                ("value_before", ColumnType::Text),
                ("value_after", ColumnType::Text),
            ];
            let names = columns.map(|(name, _)| name).join(", ");
            let from = tx.dialect().json_rows("c", "$1", &columns);
            let sql = format!(
                "INSERT INTO device_attribute_changes (tenant_id, device_key, seq, report_seq, at, mode, attribute_key, \
                 value_before, value_after) SELECT {names} FROM {from}"
            );
            execute(tx, sql, to_json(&self.new)?).await?;
        }
        if !self.expired.is_empty() {
            let columns = [
                ("tenant_id", ColumnType::Int),
                ("device_key", ColumnType::Int),
                ("seq", ColumnType::Int),
            ];
            let from = tx.dialect().json_rows("g", "$1", &columns);
            let sql = format!(
                "DELETE FROM device_attribute_changes WHERE (tenant_id, device_key, seq) IN \
                 (SELECT g.tenant_id, g.device_key, g.seq FROM {from})"
            );
            execute(tx, sql, to_json(&self.expired)?).await?;
        }
        Ok(())
    }
}

async fn execute(tx: &mut Tx, sql: String, rows: String) -> Result<(), StoreError> {
    sqlx::query(AssertSqlSafe(sql))
        .bind(rows)
        .execute(tx.conn())
        .await
        .map_err(failed("write attribute changes"))?;
    Ok(())
}

/// The keys in which two sets of attributes differ, with both values, ordered by key.
pub(crate) fn differences<'a>(
    before: &'a BTreeMap<String, String>,
    after: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (&'a str, Option<&'a str>, Option<&'a str>)> {
    let keys: BTreeSet<&'a String> = before.keys().chain(after.keys()).collect();
    keys.into_iter().filter_map(|key| {
        let (was, is) = (before.get(key), after.get(key));
        (was != is).then_some((
            key.as_str(),
            was.map(String::as_str),
            is.map(String::as_str),
        ))
    })
}
