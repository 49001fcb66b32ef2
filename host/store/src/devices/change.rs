use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use tidegate_core::{
    id::{CampaignId, DeviceKey, TenantId},
    mode::DeviceMode,
};
use tidegate_engine::ports::{ChangeError, DeviceChange, MAX_LABELS, StoreError};

use super::{
    create::insert_groups,
    labels::{delete_labels, insert_labels, labels},
};
use crate::{
    database::{Database, Tx},
    dialect::storable,
    error::failed,
    invalidation::notify_devices,
    latest::mark_dirty,
    rows::{RowError, RowExt as _, row_error, to_i64, to_json},
    runs::mark_for_recheck,
};

const CHANGE: &str = "change a device";

/// Changes a device; returns the campaigns that must recheck it.
pub(super) async fn change(
    database: &Database,
    tenant: TenantId,
    device_id: &str,
    change: &DeviceChange,
) -> Result<Vec<CampaignId>, ChangeError> {
    let mut tx = database.write().await?;
    let key = lock_device(&mut tx, tenant, device_id).await?;
    let key = key.ok_or(ChangeError::NotFound)?;
    write_device(&mut tx, tenant, key, change).await?;
    if let Some(groups) = &change.groups {
        delete_groups(&mut tx, tenant, key).await?;
        insert_groups(&mut tx, tenant, key, groups).await?;
    }
    if change.clears_labels || !change.labels.is_empty() {
        let labels = merged_labels(&mut tx, tenant, key, change).await?;
        if labels.len() > MAX_LABELS {
            return Err(ChangeError::TooManyLabels);
        }
        delete_labels(&mut tx, tenant, key).await?;
        insert_labels(&mut tx, tenant, key, &labels).await?;
    }
    let may_become_eligible =
        change.mode.is_some() || change.pinned.is_some() || change.feed.is_some();
    let campaigns = if may_become_eligible {
        mark_for_recheck(&mut tx, tenant, key, change.at).await?
    } else {
        Vec::new()
    };
    if change.mode == Some(DeviceMode::Latest) || change.pinned == Some(false) {
        mark_dirty(&mut tx, tenant).await?;
    }
    notify_devices(&mut tx, tenant, [device_id]).await?;
    tx.commit().await?;
    Ok(campaigns)
}

/// Locks a device until the transaction ends; returns its key.
pub(super) async fn lock_device(
    tx: &mut Tx,
    tenant: TenantId,
    device_id: &str,
) -> Result<Option<DeviceKey>, StoreError> {
    let sql = format!(
        "SELECT id FROM devices WHERE tenant_id = $1 AND device_id = $2{}",
        tx.dialect().for_update()
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(storable(device_id).into_owned())
        .fetch_optional(tx.conn())
        .await
        .map_err(failed(CHANGE))?;
    row.as_ref()
        .map(|row| -> Result<DeviceKey, RowError> { row.take("id").map(DeviceKey) })
        .transpose()
        .map_err(row_error("read device row"))
}

async fn write_device(
    tx: &mut Tx,
    tenant: TenantId,
    key: DeviceKey,
    change: &DeviceChange,
) -> Result<(), StoreError> {
    let feed = change.feed.as_ref().map(|feed| feed.as_deref());
    let interval = change.polling_interval.flatten();
    sqlx::query(
        "UPDATE devices SET \
         name = CASE WHEN CAST($3 AS TEXT) = '' THEN device_id ELSE COALESCE($3, name) END, \
         mode = COALESCE($4, mode), pinned = COALESCE(CAST($5 AS INTEGER), pinned), \
         feed = CASE WHEN CAST($6 AS BIGINT) = 1 THEN $7 ELSE feed END, \
         polling_seconds = CASE WHEN CAST($8 AS BIGINT) = 1 THEN CAST($9 AS BIGINT) ELSE polling_seconds END, \
         wants_attributes = COALESCE(CAST($10 AS INTEGER), wants_attributes) \
         WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant.0)
    .bind(key.0)
    .bind(
        change
            .name
            .as_deref()
            .map(|name| storable(name).into_owned()),
    )
    .bind(change.mode.map(DeviceMode::as_str))
    .bind(change.pinned.map(i64::from))
    .bind(i64::from(feed.is_some()))
    .bind(feed.flatten().map(|feed| storable(feed).into_owned()))
    .bind(i64::from(change.polling_interval.is_some()))
    .bind(interval.map(|interval| to_i64(interval.as_secs())))
    .bind(change.requests_attributes.map(i64::from))
    .execute(tx.conn())
    .await
    .map_err(failed(CHANGE))?;
    Ok(())
}

async fn delete_groups(tx: &mut Tx, tenant: TenantId, key: DeviceKey) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM device_groups WHERE tenant_id = $1 AND device_key = $2")
        .bind(tenant.0)
        .bind(key.0)
        .execute(tx.conn())
        .await
        .map_err(failed("write a device's groups"))?;
    Ok(())
}

/// The current labels with the change applied.
async fn merged_labels(
    tx: &mut Tx,
    tenant: TenantId,
    key: DeviceKey,
    change: &DeviceChange,
) -> Result<BTreeMap<String, String>, StoreError> {
    let mut merged_labels = if change.clears_labels {
        BTreeMap::new()
    } else {
        let current = labels(tx, tenant, &to_json(&[key.0])?).await?;
        current.into_values().next().unwrap_or_default()
    };
    for (key, value) in &change.labels {
        let key = storable(key).into_owned();
        match value {
            Some(value) => merged_labels.insert(key, storable(value).into_owned()),
            None => merged_labels.remove(&key),
        };
    }
    Ok(merged_labels)
}
