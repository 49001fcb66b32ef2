use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::id::{DeviceKey, TenantId};
use tidegate_engine::ports::StoreError;

use crate::{
    database::Tx,
    dialect::{ColumnType, storable},
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
};

/// The labels of these devices; `keys` is a JSON array of device keys.
pub(super) async fn labels(
    tx: &mut Tx,
    tenant: TenantId,
    keys: &str,
) -> Result<HashMap<DeviceKey, BTreeMap<String, String>>, StoreError> {
    let sql = format!(
        "SELECT device_key, label_key, value FROM device_labels \
         WHERE tenant_id = $1 AND device_key IN (SELECT value FROM {})",
        tx.dialect().json_numbers("$2")
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(keys)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read devices' labels"))?;
    let mut labels: HashMap<_, BTreeMap<_, _>> = HashMap::new();
    for row in &rows {
        let mut read = || -> Result<(), RowError> {
            let device = DeviceKey(row.take(0)?);
            let (key, value) = (row.take(1)?, row.take(2)?);
            labels.entry(device).or_default().insert(key, value);
            Ok(())
        };
        read().map_err(row_error("read device label row"))?;
    }
    Ok(labels)
}

#[derive(Serialize)]
struct Label<'a> {
    label_key: std::borrow::Cow<'a, str>,
    value: std::borrow::Cow<'a, str>,
}

/// Adds labels to a device that has none of them.
pub(super) async fn insert_labels(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
    labels: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    if labels.is_empty() {
        return Ok(());
    }
    let labels: Vec<_> = labels
        .iter()
        .map(|(key, value)| Label {
            label_key: storable(key),
            value: storable(value),
        })
        .collect();
    let columns = [("label_key", ColumnType::Text), ("value", ColumnType::Text)];
    let rows = tx.dialect().json_rows("input", "$3", &columns);
    let sql = format!(
        "INSERT INTO device_labels (tenant_id, device_key, label_key, value) \
         SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), label_key, value FROM {rows}"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(device.0)
        .bind(to_json(&labels)?)
        .execute(tx.conn())
        .await
        .map_err(failed("write a device's labels"))?;
    Ok(())
}

/// Deletes the labels of a device and returns them.
pub(super) async fn delete_labels(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
) -> Result<BTreeMap<String, String>, StoreError> {
    let rows = sqlx::query(
        "DELETE FROM device_labels WHERE tenant_id = $1 AND device_key = $2 \
         RETURNING label_key, value",
    )
    .bind(tenant.0)
    .bind(device.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed("write a device's labels"))?;
    let label =
        |row: &AnyRow| -> Result<(String, String), RowError> { Ok((row.take(0)?, row.take(1)?)) };
    let labels: Result<_, RowError> = rows.iter().map(label).collect();
    labels.map_err(row_error("read device label row"))
}
