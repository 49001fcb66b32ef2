//! Devices that changed, for campaigns whose plan is dynamic: a changed device may match their targets now.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::AssertSqlSafe;
use tidegate_core::{
    campaign::CampaignStatus,
    id::{CampaignId, DeviceKey, TenantId},
    time::Timestamp,
};
use tidegate_engine::ports::{ChangedDevice, DynamicCampaign, RunRef, StoreError};

use crate::{
    database::{Database, Tx},
    dialect::ColumnType,
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
    sql::{SqlText, literals},
};

/// A condition on `campaign_runs r`: devices can join the campaign. The index `campaign_runs_to_join` has the same one.
fn joinable() -> String {
    let statuses = literals(CampaignStatus::JOINABLE);
    format!("r.is_dynamic = 1 AND r.status IN ({statuses})")
}

/// Notes that these devices changed, if their tenant has a campaign that devices can join.
pub(crate) async fn mark_changed(
    tx: &mut Tx,
    tenant: TenantId,
    devices: impl IntoIterator<Item = DeviceKey>,
) -> Result<(), StoreError> {
    static SQL: SqlText = SqlText::new(|dialect| {
        // Transactions that note the same devices lock them in the same order.
        format!(
            "INSERT INTO changed_devices (tenant_id, device_key, changes, due_at) \
             SELECT CAST($1 AS BIGINT), value, 1, 0 FROM {} \
             WHERE EXISTS (SELECT 1 FROM campaign_runs r WHERE r.tenant_id = $1 AND {}) ORDER BY value \
             ON CONFLICT (tenant_id, device_key) DO UPDATE SET changes = changed_devices.changes + 1",
            dialect.json_numbers("$2"),
            joinable()
        )
    });
    let devices: BTreeSet<i64> = devices.into_iter().map(|key| key.0).collect();
    if devices.is_empty() {
        return Ok(());
    }
    let values = [tenant.0.into(), to_json(&devices)?.into()];
    let sql = SQL.of(tx.dialect());
    tx.execute_later("note changed devices", sql, values).await
}

/// The same for devices of several tenants.
pub(crate) async fn mark_changed_of_tenants(
    tx: &mut Tx,
    devices: Vec<(TenantId, DeviceKey)>,
) -> Result<(), StoreError> {
    let mut by_tenant: BTreeMap<TenantId, Vec<DeviceKey>> = BTreeMap::new();
    for (tenant, device) in devices {
        by_tenant.entry(tenant).or_default().push(device);
    }
    for (tenant, devices) in by_tenant {
        mark_changed(tx, tenant, devices).await?;
    }
    Ok(())
}

/// The campaigns of all tenants that devices can join.
pub(crate) async fn dynamic_campaigns(
    database: &Database,
) -> Result<Vec<DynamicCampaign>, StoreError> {
    const READ: &str = "read which campaigns devices can join";
    let sql = format!(
        "SELECT r.tenant_id, r.campaign_id, r.join_scan_at FROM campaign_runs r WHERE {} \
         ORDER BY r.tenant_id, r.campaign_id",
        joinable()
    );
    let mut tx = database.read_single().await?;
    let rows = sqlx::query(AssertSqlSafe(sql))
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let rows = rows.iter().map(|row| {
        Ok(DynamicCampaign {
            run: RunRef {
                tenant: TenantId(row.take("tenant_id")?),
                campaign: CampaignId(row.take("campaign_id")?),
            },
            scan_at: row.take::<Option<i64>>("join_scan_at")?.map(Timestamp),
        })
    });
    rows.collect::<Result<_, _>>().map_err(row_error(READ))
}

/// Up to `limit` changed devices that are due, ordered by key.
pub(crate) async fn changed_devices(
    database: &Database,
    tenant: TenantId,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<ChangedDevice>, StoreError> {
    const READ: &str = "read changed devices";
    let mut tx = database.read_single().await?;
    let rows = sqlx::query(
        "SELECT device_key, changes FROM changed_devices WHERE tenant_id = $1 AND due_at <= $2 \
         ORDER BY device_key LIMIT $3",
    )
    .bind(tenant.0)
    .bind(now.0)
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    let rows = rows.iter().map(|row| {
        Ok::<_, RowError>(ChangedDevice {
            device: DeviceKey(row.take("device_key")?),
            changes: row.take("changes")?,
        })
    });
    rows.collect::<Result<_, _>>().map_err(row_error(READ))
}

#[derive(Serialize)]
struct CheckedRow {
    device_key: i64,
    changes: i64,
}

const COLUMNS: [(&str, ColumnType); 2] = [
    ("device_key", ColumnType::Int),
    ("changes", ColumnType::Int),
];

/// Deletes the notes of devices that were checked, except of those that changed again meanwhile.
pub(crate) async fn forget(
    database: &Database,
    tenant: TenantId,
    checked: &[ChangedDevice],
) -> Result<(), StoreError> {
    static SQL: SqlText = SqlText::new(|dialect| {
        format!(
            "DELETE FROM changed_devices WHERE tenant_id = $1 AND (device_key, changes) IN \
             (SELECT c.device_key, c.changes FROM {})",
            dialect.json_rows("c", "$2", &COLUMNS)
        )
    });
    let rows = checked.iter().map(|changed| CheckedRow {
        device_key: changed.device.0,
        changes: changed.changes,
    });
    let rows: Vec<_> = rows.collect();
    let mut tx = database.write().await?;
    lock(&mut tx, tenant, checked).await?;
    sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(to_json(&rows)?)
        .execute(tx.conn())
        .await
        .map_err(failed("delete the notes of changed devices"))?;
    tx.commit().await
}

/// Repeats the check of these devices at this time.
pub(crate) async fn postpone(
    database: &Database,
    tenant: TenantId,
    devices: &[ChangedDevice],
    until: Timestamp,
) -> Result<(), StoreError> {
    let mut tx = database.write().await?;
    lock(&mut tx, tenant, devices).await?;
    let which = tx.dialect().key_in_json("device_key", "$2");
    let sql = format!("UPDATE changed_devices SET due_at = $3 WHERE tenant_id = $1 AND {which}");
    sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(keys(devices)?)
        .bind(until.0)
        .execute(tx.conn())
        .await
        .map_err(failed("postpone the check of changed devices"))?;
    tx.commit().await
}

/// Locks the notes in the order in which they are written.
async fn lock(tx: &mut Tx, tenant: TenantId, devices: &[ChangedDevice]) -> Result<(), StoreError> {
    let dialect = tx.dialect();
    let which = dialect.key_in_json("device_key", "$2");
    let order = dialect.ordered_for_update("device_key");
    let sql =
        format!("SELECT device_key FROM changed_devices WHERE tenant_id = $1 AND {which}{order}");
    sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(keys(devices)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("lock the notes of changed devices"))?;
    Ok(())
}

fn keys(devices: &[ChangedDevice]) -> Result<String, StoreError> {
    let keys: Vec<i64> = devices.iter().map(|changed| changed.device.0).collect();
    to_json(&keys)
}

/// Deletes up to `limit` notes of tenants without a campaign that devices can join; returns how many. A campaign that starts
/// meanwhile checks all its targets later.
pub(crate) async fn forget_needless(database: &Database, limit: u32) -> Result<u64, StoreError> {
    const READ: &str = "read needless notes of changed devices";
    let sql = format!(
        "SELECT c.tenant_id, c.device_key, c.changes FROM changed_devices c \
         WHERE NOT EXISTS (SELECT 1 FROM campaign_runs r WHERE r.tenant_id = c.tenant_id AND {}) \
         ORDER BY c.tenant_id, c.device_key LIMIT $1",
        joinable()
    );
    let rows = {
        let mut tx = database.read_single().await?;
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(i64::from(limit))
            .fetch_all(tx.conn());
        rows.await.map_err(failed(READ))?
    };
    let mut by_tenant: BTreeMap<TenantId, Vec<ChangedDevice>> = BTreeMap::new();
    for row in &rows {
        let read = || {
            let changed = ChangedDevice {
                device: DeviceKey(row.take("device_key")?),
                changes: row.take("changes")?,
            };
            Ok::<_, RowError>((TenantId(row.take("tenant_id")?), changed))
        };
        let (tenant, changed) = read().map_err(row_error(READ))?;
        by_tenant.entry(tenant).or_default().push(changed);
    }
    for (tenant, changed) in by_tenant {
        forget(database, tenant, &changed).await?;
    }
    Ok(rows.len() as u64)
}
