use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use sqlx::any::AnyRow;
use tidegate_core::{
    Named as _,
    device::DeviceState,
    id::{DeviceKey, TenantId},
    time::Timestamp,
};
use tidegate_engine::ports::{Enrolment, PollView, StoreError};

use super::{last_seen::hour, poll_view::poll_views};
use crate::{
    batcher::{Batch, BatchKind},
    changed_devices::mark_changed_of_tenants,
    database::{Database, LockWait, Tx},
    dialect::{ColumnType, storable},
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
    sql::{SqlText, literal},
    tenant_counters::{CountedValue, CounterKind, DeviceTraits, TenantCounters},
};

/// The registration of a device that polled.
pub(crate) struct DeviceRegistration {
    tenant: TenantId,
    device_id: String,
    enrolment: Enrolment,
    now: Timestamp,
}

impl DeviceRegistration {
    pub(crate) fn new(
        tenant: TenantId,
        device_id: &str,
        enrolment: &Enrolment,
        now: Timestamp,
    ) -> Self {
        let device_id = storable(device_id).into_owned();
        Self {
            tenant,
            device_id,
            enrolment: enrolment.clone(),
            now,
        }
    }
}

/// Registers many devices in one transaction.
pub(crate) struct RegistrationBatch {
    pub(crate) database: Database,
}

#[derive(Serialize)]
struct NewDeviceRow<'a> {
    tenant_id: i64,
    device_id: &'a str,
    token_sha256: Option<String>,
    at: i64,
    hour: i64,
}

const COLUMNS: [(&str, ColumnType); 5] = [
    ("tenant_id", ColumnType::Int),
    ("device_id", ColumnType::Text),
    ("token_sha256", ColumnType::Text),
    ("at", ColumnType::Int),
    ("hour", ColumnType::Int),
];

/// The first registration of each device.
type FirstByDevice<'a> = BTreeMap<(TenantId, &'a str), &'a DeviceRegistration>;

impl Batch for RegistrationBatch {
    type Item = DeviceRegistration;
    type Output = PollView;
    const NAME: &'static str = "registrations";
    const KIND: BatchKind = BatchKind::Write;

    async fn execute(
        &self,
        items: &[DeviceRegistration],
        lock_wait: LockWait,
    ) -> Result<Vec<PollView>, StoreError> {
        // Duplicates are removed, and a fixed order prevents deadlocks between servers that register the same
        // devices.
        let mut first_by_device = FirstByDevice::new();
        for item in items {
            first_by_device
                .entry((item.tenant, &item.device_id))
                .or_insert(item);
        }
        let new = first_by_device
            .iter()
            .map(|((tenant, device_id), item)| NewDeviceRow {
                tenant_id: tenant.0,
                device_id,
                token_sha256: item.enrolment.token_sha256.map(hex::encode),
                at: item.now.0,
                hour: hour(item.now),
            });
        let json = to_json(&new.collect::<Vec<_>>())?;

        let mut tx = self.database.write_by_key(lock_wait).await?;
        let mut tenant_counters = TenantCounters::default();
        let mut changed = insert(&mut tx, &json, &first_by_device, &mut tenant_counters).await?;
        if changed.len() < first_by_device.len() {
            changed.extend(mark_first_seen(&mut tx, &json, &mut tenant_counters).await?);
        }
        mark_changed_of_tenants(&mut tx, changed).await?;
        let views = poll_views(&mut tx, &json).await?;
        tenant_counters.write(&mut tx).await?;
        tx.commit().await?;
        items
            .iter()
            .map(|item| {
                let view = views.get(&(item.tenant, item.device_id.clone()));
                view.cloned().ok_or_else(|| StoreError::Internal {
                    context: "register a device",
                    source: "the device does not exist after its registration".into(),
                })
            })
            .collect()
    }
}

/// Creates the devices that do not exist; returns them.
async fn insert(
    tx: &mut Tx,
    json: &str,
    first_by_device: &FirstByDevice<'_>,
    tenant_counters: &mut TenantCounters,
) -> Result<Vec<(TenantId, DeviceKey)>, StoreError> {
    static SQL: SqlText = SqlText::new(|dialect| {
        format!(
            "INSERT INTO devices \
             (tenant_id, device_id, name, token_sha256, state, wants_attributes, last_seen, last_seen_hour, \
             created_at) \
             SELECT tenant_id, device_id, device_id, token_sha256, {}, 1, at, hour, at FROM {} \
             WHERE true ON CONFLICT (tenant_id, device_id) DO NOTHING \
             RETURNING tenant_id, id, device_id",
            literal(DeviceState::Registered),
            dialect.json_rows("new", "$1", &COLUMNS)
        )
    });
    let inserted = sqlx::query(SQL.of(tx.dialect()))
        .bind(json)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("register devices"))?;
    let registered = DeviceTraits {
        state: DeviceState::Registered,
        version: CountedValue::Own(None),
        model: CountedValue::Own(None),
        drifted: false,
    };
    let (mut devices, mut memberships) = (Vec::with_capacity(inserted.len()), Vec::new());
    for row in &inserted {
        let tenant = tenant(row).map_err(row_error("read device row"))?;
        let device = row
            .take("id")
            .map(DeviceKey)
            .map_err(row_error("read device row"))?;
        tenant_counters.count_device(tenant, device, None, &registered);
        devices.push((tenant, device));
        memberships.extend(
            group_membership(row, tenant, first_by_device).map_err(row_error("read device row"))?,
        );
    }
    insert_group_memberships(tx, &memberships).await?;
    tx.has_added("devices", inserted.len());
    Ok(devices)
}

#[derive(Serialize)]
struct GroupMembership<'a> {
    tenant_id: i64,
    device_key: i64,
    name: Cow<'a, str>,
}

/// The group of a created device, from its enrolment.
fn group_membership<'a>(
    row: &AnyRow,
    tenant: TenantId,
    first_by_device: &FirstByDevice<'a>,
) -> Result<Option<GroupMembership<'a>>, RowError> {
    let item = first_by_device.get(&(tenant, row.take("device_id")?));
    let Some(group) = item.and_then(|item| item.enrolment.group.as_deref()) else {
        return Ok(None);
    };
    Ok(Some(GroupMembership {
        tenant_id: tenant.0,
        device_key: row.take("id")?,
        name: storable(group),
    }))
}

async fn insert_group_memberships(
    tx: &mut Tx,
    memberships: &[GroupMembership<'_>],
) -> Result<(), StoreError> {
    if memberships.is_empty() {
        return Ok(());
    }
    let columns = [
        ("tenant_id", ColumnType::Int),
        ("device_key", ColumnType::Int),
        ("name", ColumnType::Text),
    ];
    let sql = format!(
        "INSERT INTO device_groups (tenant_id, device_key, name) \
         SELECT tenant_id, device_key, name FROM {}",
        tx.dialect().json_rows("grouped", "$1", &columns)
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(to_json(&memberships)?)
        .execute(tx.conn())
        .await
        .map_err(failed("write group memberships"))?;
    Ok(())
}

/// Marks devices that an operator created, and that were not seen before, as registered; returns them.
async fn mark_first_seen(
    tx: &mut Tx,
    json: &str,
    tenant_counters: &mut TenantCounters,
) -> Result<Vec<(TenantId, DeviceKey)>, StoreError> {
    static SQL: SqlText = SqlText::new(|dialect| {
        format!(
            "UPDATE devices SET state = {}, last_seen = seen.at, last_seen_hour = seen.hour FROM {} \
             WHERE devices.tenant_id = seen.tenant_id AND devices.device_id = seen.device_id \
             AND devices.state = {} RETURNING devices.tenant_id AS tenant_id, devices.id AS id",
            literal(DeviceState::Registered),
            dialect.json_rows("seen", "$1", &COLUMNS),
            literal(DeviceState::Unknown)
        )
    });
    let seen = sqlx::query(SQL.of(tx.dialect()))
        .bind(json)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("register devices"))?;
    let mut devices = Vec::with_capacity(seen.len());
    for row in &seen {
        let tenant = tenant(row).map_err(row_error("read device row"))?;
        let device = row.take("id").map(DeviceKey);
        devices.push((tenant, device.map_err(row_error("read device row"))?));
        tenant_counters.add(
            tenant,
            CounterKind::DevicesByState,
            DeviceState::Unknown.as_str(),
            -1,
        );
        tenant_counters.add(
            tenant,
            CounterKind::DevicesByState,
            DeviceState::Registered.as_str(),
            1,
        );
    }
    Ok(devices)
}

fn tenant(row: &AnyRow) -> Result<TenantId, RowError> {
    row.take("tenant_id").map(TenantId)
}
