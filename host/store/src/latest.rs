//! What keeps devices in mode `latest` going.

use std::collections::HashSet;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::id::{DeviceKey, FirmwareId, TenantId};
use tidegate_engine::ports::{LatestDevices, StoreError};

use crate::{
    SqlStore,
    database::Tx,
    error::failed,
    rows::{BadRow, Columns as _, bad_row, to_json},
};

#[cfg(test)]
mod tests;

const READ: &str = "read which tenants were stirred";

/// Something happened that may leave a device in mode `latest` behind.
pub(crate) async fn stir(tx: &mut Tx, tenant: TenantId) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO latest_stirs (tenant_id, stirs, looked_at) VALUES ($1, 1, 0) \
         ON CONFLICT (tenant_id) DO UPDATE SET stirs = latest_stirs.stirs + 1",
    )
    .bind(tenant.0)
    .execute(tx.conn())
    .await
    .map_err(failed("stir a tenant"))?;
    Ok(())
}

#[async_trait]
impl LatestDevices for SqlStore {
    async fn stirred(&self) -> Result<Vec<(TenantId, i64)>, StoreError> {
        let mut tx = self.database.once().await?;
        let rows = sqlx::query(
            "SELECT tenant_id, stirs FROM latest_stirs WHERE stirs > looked_at ORDER BY tenant_id",
        )
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
        let read = |row: &AnyRow| -> Result<_, BadRow> {
            Ok((TenantId(row.take("tenant_id")?), row.take("stirs")?))
        };
        rows.iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(bad_row(READ))
    }

    async fn looked_at(&self, tenant: TenantId, stir: i64) -> Result<(), StoreError> {
        let mut tx = self.database.write().await?;
        sqlx::query(
            "UPDATE latest_stirs SET looked_at = $2 WHERE tenant_id = $1 AND looked_at < $2",
        )
        .bind(tenant.0)
        .bind(stir)
        .execute(tx.conn())
        .await
        .map_err(failed("note that a tenant was looked at"))?;
        tx.commit().await
    }

    async fn had_offer(
        &self,
        tenant: TenantId,
        firmware: FirmwareId,
        devices: &[DeviceKey],
    ) -> Result<HashSet<DeviceKey>, StoreError> {
        const READ: &str = "read who had a firmware";
        let keys: Vec<i64> = devices.iter().map(|key| key.0).collect();
        let mut tx = self.database.once().await?;
        let which = tx.dialect().among("u.device_id", "$3");
        let sql = format!(
            "SELECT DISTINCT u.device_id AS device_id FROM updates u \
             WHERE u.tenant_id = $1 AND u.firmware_id = $2 AND {which}"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(tenant.0)
            .bind(firmware.0)
            .bind(to_json(&keys)?)
            .fetch_all(tx.conn())
            .await
            .map_err(failed(READ))?;
        rows.iter()
            .map(|row| row.take("device_id").map(DeviceKey))
            .collect::<Result<_, _>>()
            .map_err(bad_row(READ))
    }
}
