use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    time::Duration,
};

use sqlx::any::AnyRow;
use tidegate_core::{
    device::{Device, Drift},
    id::{DeviceKey, FirmwareId, TenantId, UpdateId},
    time::Timestamp,
};
use tidegate_engine::ports::StoreError;

use super::{labels::labels, poll_view::visible_update};
use crate::{
    database::{Database, Tx},
    dialect::storable,
    error::failed,
    rows::{self, RowError, RowExt as _, row_error, to_json},
    updates::auto_confirm::from_row as auto_confirm,
};

/// The columns of a device `d`, for [`devices`].
pub(super) fn columns() -> String {
    format!(
        "d.id, d.tenant_id, d.device_id, d.name, d.hw_model, d.hw_revision, d.sw_version, \
         d.version_hour_at, d.version_changes, d.counted_version, \
         d.state, d.mode, d.pinned, d.feed, d.expected_version, d.drifted_at, d.last_seen, d.address, d.created_at, \
         d.installed_firmware_id, d.auto_confirm_at, d.auto_confirm_by, d.auto_confirm_remark, d.polling_seconds, \
         {} AS open_id",
        visible_update()
    )
}

pub(crate) async fn device(
    database: &Database,
    tenant: TenantId,
    device_id: &str,
) -> Result<Option<Device>, StoreError> {
    let mut tx = database.read().await?;
    let sql = format!(
        "SELECT {} FROM devices d WHERE d.tenant_id = $1 AND d.device_id = $2",
        columns()
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(storable(device_id).into_owned())
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read a device"))?;
    Ok(devices(&mut tx, tenant, &rows).await?.pop())
}

/// Converts rows of [`columns`] to devices with attributes, groups and labels, in the same order.
pub(super) async fn devices(
    tx: &mut Tx,
    tenant: TenantId,
    rows: &[AnyRow],
) -> Result<Vec<Device>, StoreError> {
    let devices: Result<Vec<_>, _> = rows.iter().map(device_without_relations).collect();
    let mut devices = devices.map_err(row_error("read device row"))?;
    let keys: Vec<_> = devices.iter().map(|device| device.key.0).collect();
    let keys = to_json(&keys)?;
    let mut attributes = attributes(tx, tenant, &keys).await?;
    let mut groups = groups(tx, tenant, &keys).await?;
    let mut labels = labels(tx, tenant, &keys).await?;
    for device in &mut devices {
        device.attributes = attributes.remove(&device.key).unwrap_or_default();
        device.groups = groups.remove(&device.key).unwrap_or_default();
        device.labels = labels.remove(&device.key).unwrap_or_default();
    }
    Ok(devices)
}

async fn attributes(
    tx: &mut Tx,
    tenant: TenantId,
    keys: &str,
) -> Result<HashMap<DeviceKey, BTreeMap<String, String>>, StoreError> {
    let sql = format!(
        "SELECT device_key, attribute_key, value FROM device_attributes \
         WHERE tenant_id = $1 AND device_key IN (SELECT value FROM {})",
        tx.dialect().json_numbers("$2")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(keys)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read devices' attributes"))?;
    let mut attributes: HashMap<_, BTreeMap<_, _>> = HashMap::new();
    for row in &rows {
        let mut read = || -> Result<(), RowError> {
            let device = DeviceKey(row.take(0)?);
            let (key, value) = (row.take(1)?, row.take(2)?);
            attributes.entry(device).or_default().insert(key, value);
            Ok(())
        };
        read().map_err(row_error("read device attribute row"))?;
    }
    Ok(attributes)
}

async fn groups(
    tx: &mut Tx,
    tenant: TenantId,
    keys: &str,
) -> Result<HashMap<DeviceKey, Vec<String>>, StoreError> {
    let sql = format!(
        "SELECT device_key, name FROM device_groups \
         WHERE tenant_id = $1 AND device_key IN (SELECT value FROM {}) ORDER BY device_key, name",
        tx.dialect().json_numbers("$2")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(keys)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read devices' groups"))?;
    let mut groups: HashMap<_, Vec<_>> = HashMap::new();
    for row in &rows {
        let mut read = || -> Result<(), RowError> {
            let device = DeviceKey(row.take(0)?);
            groups.entry(device).or_default().push(row.take(1)?);
            Ok(())
        };
        read().map_err(row_error("read device group row"))?;
    }
    Ok(groups)
}

fn device_without_relations(row: &AnyRow) -> Result<Device, RowError> {
    Ok(Device {
        key: DeviceKey(row.take("id")?),
        tenant: TenantId(row.take("tenant_id")?),
        device_id: row.take("device_id")?,
        name: row.take("name")?,
        attributes: BTreeMap::new(),
        hw_model: row.take("hw_model")?,
        hw_revision: row.take("hw_revision")?,
        sw_version: row.take("sw_version")?,
        unstable_version_until: rows::version_changes(row)?.unstable_until(),
        groups: Vec::new(),
        feed: row.take("feed")?,
        labels: BTreeMap::new(),
        mode: row.parse("mode")?,
        pinned: row.flag("pinned")?,
        state: row.parse("state")?,
        last_seen: row.take::<Option<i64>>("last_seen")?.map(Timestamp),
        address: address(row)?,
        created_at: Timestamp(row.take("created_at")?),
        installed_firmware: row
            .take::<Option<i64>>("installed_firmware_id")?
            .map(FirmwareId),
        drift: drift(row)?,
        open_update: row.take::<Option<i32>>("open_id")?.map(UpdateId),
        auto_confirm: auto_confirm(row)?,
        polling_interval: row
            .optional_u32("polling_seconds")?
            .map(|seconds| Duration::from_secs(u64::from(seconds))),
    })
}

fn address(row: &AnyRow) -> Result<Option<IpAddr>, RowError> {
    let text: Option<String> = row.take("address")?;
    text.map(|text| {
        text.parse().map_err(|_| RowError::UnknownValue {
            column: "address",
            value: text,
        })
    })
    .transpose()
}

fn drift(row: &AnyRow) -> Result<Option<Drift>, RowError> {
    let since = row.take::<Option<i64>>("drifted_at")?.map(Timestamp);
    let expected: Option<String> = row.take("expected_version")?;
    Ok(expected
        .zip(since)
        .map(|(expected, since)| Drift { expected, since }))
}
