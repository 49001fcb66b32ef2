//! Devices in mode `latest`.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::{
    id::{DeviceKey, FirmwareId, TenantId},
    update::INCOMPATIBLE,
};
use tidegate_engine::ports::StoreError;

use crate::{
    database::{Database, Tx},
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
};

#[cfg(test)]
mod tests;

const READ: &str = "read dirty tenants";

/// Marks the tenant dirty: an event may have outdated a device in mode `latest`, or brought a policy that was missing.
pub(crate) async fn mark_dirty(tx: &mut Tx, tenant: TenantId) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO latest_dirty_flags (tenant_id, changes, processed) VALUES ($1, 1, 0) \
         ON CONFLICT (tenant_id) DO UPDATE SET changes = latest_dirty_flags.changes + 1",
    )
    .bind(tenant.0)
    .execute(tx.conn())
    .await
    .map_err(failed("mark a tenant dirty"))?;
    Ok(())
}

pub(crate) async fn dirty_tenants(database: &Database) -> Result<Vec<(TenantId, i64)>, StoreError> {
    let mut tx = database.read_single().await?;
    let rows = sqlx::query(
        "SELECT tenant_id, changes FROM latest_dirty_flags WHERE changes > processed ORDER BY tenant_id",
    )
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    let read = |row: &AnyRow| -> Result<_, RowError> {
        Ok((TenantId(row.take("tenant_id")?), row.take("changes")?))
    };
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(row_error(READ))
}

pub(crate) async fn clear_dirty(
    database: &Database,
    tenant: TenantId,
    changes: i64,
) -> Result<(), StoreError> {
    let mut tx = database.write().await?;
    sqlx::query(
        "UPDATE latest_dirty_flags SET processed = $2 WHERE tenant_id = $1 AND processed < $2",
    )
    .bind(tenant.0)
    .bind(changes)
    .execute(tx.conn())
    .await
    .map_err(failed("clear the dirty flag of a tenant"))?;
    tx.commit().await
}

pub(crate) async fn already_offered(
    database: &Database,
    tenant: TenantId,
    firmware: FirmwareId,
    devices: &[DeviceKey],
) -> Result<HashSet<DeviceKey>, StoreError> {
    const READ: &str = "read which devices were offered a firmware";
    let keys: Vec<i64> = devices.iter().map(|key| key.0).collect();
    let mut tx = database.read_single().await?;
    let which = tx.dialect().key_in_json("u.device_key", "$3");
    let sql = format!(
        "SELECT DISTINCT u.device_key AS device_key FROM updates u \
         WHERE u.tenant_id = $1 AND u.firmware_id = $2 AND (u.error_code IS NULL OR u.error_code <> $4) AND {which}"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(firmware.0)
        .bind(to_json(&keys)?)
        .bind(INCOMPATIBLE)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    rows.iter()
        .map(|row| row.take("device_key").map(DeviceKey))
        .collect::<Result<_, _>>()
        .map_err(row_error(READ))
}
