use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};
use tidegate_core::{
    Named as _,
    device::{AttributeNames, DeviceState},
    id::{DeviceKey, TenantId},
    mode::DeviceMode,
};
use tidegate_engine::{
    Ctx,
    ports::{NewDevice, StoreError},
};

use super::{WellKnownAttributes, labels::insert_labels};
use crate::{
    audit::{self, AuditEntry},
    changed_devices::mark_changed,
    database::{Database, Tx},
    dialect::{ColumnType, storable},
    error::{conflict, failed},
    latest::mark_dirty,
    rows::{RowExt as _, row_error, to_i64, to_json},
    tenant_counters::{CountedValue, DeviceTraits, TenantCounters},
};

/// Creates a device with the state `unknown`.
pub(crate) async fn create(
    database: &Database,
    names: &AttributeNames,
    ctx: &Ctx,
    device: &NewDevice,
) -> Result<DeviceKey, StoreError> {
    let reported = WellKnownAttributes::of(names, &device.attributes);
    let tenant = ctx.tenant;
    let mut tx = database.write().await?;
    let key = insert(&mut tx, tenant, device, &reported).await?;
    insert_attributes(&mut tx, tenant, key, &device.attributes).await?;
    insert_groups(&mut tx, tenant, key, &device.groups).await?;
    insert_labels(&mut tx, tenant, key, &device.labels).await?;
    let mut tenant_counters = TenantCounters::default();
    let traits = DeviceTraits {
        state: DeviceState::Unknown,
        version: CountedValue::Own(reported.sw_version),
        model: CountedValue::Own(reported.hw_model),
        drifted: false,
    };
    tenant_counters.count_device(tenant, key, None, &traits);
    mark_changed(&mut tx, tenant, [key]).await?;
    if device.mode == DeviceMode::Latest {
        mark_dirty(&mut tx, tenant).await?;
    }
    tenant_counters.write(&mut tx).await?;
    let after = json!({
        "name": device.name, "groups": device.groups, "feed": device.feed, "labels": device.labels,
        "attributes": device.attributes,
        "mode": device.mode.as_str(), "pinned": device.pinned,
        "polling_interval": device.polling_interval.map(|interval| interval.as_secs()),
    });
    let entry = AuditEntry::new("device.create", &device.device_id, Value::Null, after);
    audit::record(&mut tx, ctx, entry).await?;
    tx.commit().await?;
    Ok(key)
}

async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    device: &NewDevice,
    reported: &WellKnownAttributes,
) -> Result<DeviceKey, StoreError> {
    let name = if device.name.is_empty() {
        &device.device_id
    } else {
        &device.name
    };
    let message = format!("device {} exists already", device.device_id);
    let row = sqlx::query(
        "INSERT INTO devices (tenant_id, device_id, name, token_sha256, hw_model, hw_revision, \
         hw_revision_key, sw_version, sw_version_key, state, wants_attributes, polling_seconds, created_at, mode, \
         pinned, feed) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $12, $13, $14, $15) RETURNING id",
    )
    .bind(tenant.0)
    .bind(storable(&device.device_id).into_owned())
    .bind(storable(name).into_owned())
    .bind(device.token_sha256.map(hex::encode))
    .bind(&reported.hw_model)
    .bind(&reported.hw_revision)
    .bind(&reported.hw_revision_key)
    .bind(&reported.sw_version)
    .bind(&reported.sw_version_key)
    .bind(DeviceState::Unknown.as_str())
    .bind(device.polling_interval.map(|interval| to_i64(interval.as_secs())))
    .bind(device.created_at.map_or(0, |at| at.0))
    .bind(device.mode.as_str())
    .bind(i64::from(device.pinned))
    .bind(device.feed.as_deref().map(|feed| storable(feed).into_owned()))
    .fetch_one(tx.conn())
    .await
    .map_err(conflict("create a device", message))?;
    tx.has_added("devices", 1);
    row.take("id")
        .map(DeviceKey)
        .map_err(row_error("read device row"))
}

async fn insert_attributes(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
    attributes: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Attribute<'a> {
        attribute_key: std::borrow::Cow<'a, str>,
        value: std::borrow::Cow<'a, str>,
    }

    if attributes.is_empty() {
        return Ok(());
    }
    let attributes: Vec<_> = attributes
        .iter()
        .map(|(key, value)| Attribute {
            attribute_key: storable(key),
            value: storable(value),
        })
        .collect();
    let columns = [
        ("attribute_key", ColumnType::Text),
        ("value", ColumnType::Text),
    ];
    let rows = tx.dialect().json_rows("input", "$3", &columns);
    let sql = format!(
        "INSERT INTO device_attributes (tenant_id, device_key, attribute_key, value) \
         SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), attribute_key, value FROM {rows}"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(device.0)
        .bind(to_json(&attributes)?)
        .execute(tx.conn())
        .await
        .map_err(failed("write a device's attributes"))?;
    Ok(())
}

pub(super) async fn insert_groups(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
    groups: &[String],
) -> Result<(), StoreError> {
    if groups.is_empty() {
        return Ok(());
    }
    let groups: BTreeSet<_> = groups.iter().map(|group| storable(group)).collect();
    let sql = format!(
        "INSERT INTO device_groups (tenant_id, device_key, name) \
         SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), value FROM {}",
        tx.dialect().json_texts("$3")
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(device.0)
        .bind(to_json(&groups)?)
        .execute(tx.conn())
        .await
        .map_err(failed("write a device's groups"))?;
    Ok(())
}
