use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::{
    Named as _,
    id::{CampaignId, DeviceKey, TenantId},
    mode::DeviceMode,
};
use tidegate_engine::{
    Ctx,
    ports::{ChangeError, DeviceChange, MAX_LABELS, StoreError},
};

use super::{
    create::insert_groups,
    labels::{delete_labels, insert_labels, labels},
};
use crate::{
    audit::{self, AuditEntry},
    changed_devices::mark_changed,
    database::{Database, Tx},
    dialect::storable,
    error::failed,
    invalidation::notify_devices,
    latest::mark_dirty,
    rows::{RowError, RowExt as _, row_error, to_i64, to_json},
    runs::{cancel_retries_of_pinned_device, mark_for_recheck},
};

const CHANGE: &str = "change a device";

/// Changes a device; returns the campaigns that must recheck it or that lose a retry.
pub(crate) async fn change(
    database: &Database,
    ctx: &Ctx,
    device_id: &str,
    change: &DeviceChange,
) -> Result<Vec<CampaignId>, ChangeError> {
    let tenant = ctx.tenant;
    let mut tx = database.write().await?;
    let locked = lock_device(&mut tx, tenant, device_id).await?;
    let locked = locked.ok_or(ChangeError::NotFound)?;
    let key = locked.key;
    let (mut before, mut after) = (locked.fields(), locked.fields_after(device_id, change));
    write_device(&mut tx, tenant, key, change).await?;
    if let Some(groups) = &change.groups {
        before["groups"] = delete_groups(&mut tx, tenant, key)
            .await?
            .into_iter()
            .collect();
        after["groups"] = groups
            .iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .cloned()
            .collect();
        insert_groups(&mut tx, tenant, key, groups).await?;
    }
    if change.clears_labels || !change.labels.is_empty() {
        let labels = merged_labels(&mut tx, tenant, key, change).await?;
        if labels.len() > MAX_LABELS {
            return Err(ChangeError::TooManyLabels);
        }
        before["labels"] = json!(delete_labels(&mut tx, tenant, key).await?);
        after["labels"] = json!(labels);
        insert_labels(&mut tx, tenant, key, &labels).await?;
    }
    let entry = AuditEntry::of_difference("device.change", device_id, before, after);
    audit::record(&mut tx, ctx, entry).await?;
    let may_become_eligible =
        change.mode.is_some() || change.pinned.is_some() || change.feed.is_some();
    let mut campaigns = if may_become_eligible {
        mark_for_recheck(&mut tx, tenant, key, change.at).await?
    } else {
        Vec::new()
    };
    if change.pinned == Some(true) {
        let stopped = cancel_retries_of_pinned_device(&mut tx, tenant, key, change.at).await?;
        campaigns.extend(stopped);
    }
    if change.mode == Some(DeviceMode::Latest) || change.pinned == Some(false) {
        mark_dirty(&mut tx, tenant).await?;
    }
    mark_changed(&mut tx, tenant, [key]).await?;
    notify_devices(&mut tx, tenant, [device_id]).await?;
    tx.commit().await?;
    Ok(campaigns)
}

/// A device, locked until the transaction ends, with the fields that operators change.
pub(super) struct LockedDevice {
    pub(super) key: DeviceKey,
    name: String,
    mode: String,
    pinned: bool,
    feed: Option<String>,
    polling_interval: Option<u64>,
    requests_attributes: bool,
}

impl LockedDevice {
    fn from_row(row: &AnyRow) -> Result<Self, RowError> {
        let seconds: Option<i64> = row.take("polling_seconds")?;
        Ok(Self {
            key: DeviceKey(row.take("id")?),
            name: row.take("name")?,
            mode: row.take("mode")?,
            pinned: row.flag("pinned")?,
            feed: row.take("feed")?,
            polling_interval: seconds.and_then(|seconds| seconds.try_into().ok()),
            requests_attributes: row.flag("wants_attributes")?,
        })
    }

    /// For the audit trail.
    pub(super) fn fields(&self) -> Value {
        json!({
            "name": self.name, "mode": self.mode, "pinned": self.pinned, "feed": self.feed,
            "polling_interval": self.polling_interval,
            "requests_attributes": self.requests_attributes,
        })
    }

    /// The fields after a change.
    fn fields_after(&self, device_id: &str, change: &DeviceChange) -> Value {
        let name = match change.name.as_deref() {
            Some("") => device_id,
            Some(name) => name,
            None => &self.name,
        };
        let mode = match change.mode {
            Some(mode) => mode.as_str(),
            None => &self.mode,
        };
        let interval = change.polling_interval;
        let interval = interval.map(|interval| interval.map(|interval| interval.as_secs()));
        json!({
            "name": name,
            "mode": mode,
            "pinned": change.pinned.unwrap_or(self.pinned),
            "feed": change.feed.as_ref().unwrap_or(&self.feed),
            "polling_interval": interval.unwrap_or(self.polling_interval),
            "requests_attributes": change.requests_attributes.unwrap_or(self.requests_attributes),
        })
    }
}

/// Locks a device until the transaction ends.
pub(super) async fn lock_device(
    tx: &mut Tx,
    tenant: TenantId,
    device_id: &str,
) -> Result<Option<LockedDevice>, StoreError> {
    let sql = format!(
        "SELECT id, name, mode, pinned, feed, polling_seconds, wants_attributes FROM devices \
         WHERE tenant_id = $1 AND device_id = $2{}",
        tx.dialect().for_update()
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(storable(device_id).into_owned())
        .fetch_optional(tx.conn())
        .await
        .map_err(failed(CHANGE))?;
    row.as_ref()
        .map(LockedDevice::from_row)
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
    .bind(change.mode.map(|mode| mode.as_str()))
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

/// Deletes the groups of a device and returns their names.
pub(super) async fn delete_groups(
    tx: &mut Tx,
    tenant: TenantId,
    key: DeviceKey,
) -> Result<BTreeSet<String>, StoreError> {
    let rows = sqlx::query(
        "DELETE FROM device_groups WHERE tenant_id = $1 AND device_key = $2 RETURNING name",
    )
    .bind(tenant.0)
    .bind(key.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed("write a device's groups"))?;
    let names: Result<_, RowError> = rows.iter().map(|row| row.take("name")).collect();
    names.map_err(row_error("read device group row"))
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
