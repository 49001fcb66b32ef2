use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use sqlx::any::AnyRow;
use tidegate_core::{device::DeviceState, firmware::hex, id::TenantId, time::Timestamp};
use tidegate_engine::ports::{Enrolment, PollView, StoreError};

use super::poll_view::poll_views;
use crate::{
    database::{Database, Tx},
    dialect::{Type, storable},
    error::failed,
    gather::Batch,
    rows::{BadRow, Columns as _, bad_row, to_json},
    tallies::{DeviceTraits, Kind, Tallies},
};

/// A device that polls and is to be there.
pub(crate) struct Registration {
    tenant: TenantId,
    device_id: String,
    enrolment: Enrolment,
    now: Timestamp,
}

impl Registration {
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
pub(crate) struct Registrations {
    pub(crate) database: Database,
}

#[derive(Serialize)]
struct New<'a> {
    tenant_id: i64,
    device_id: &'a str,
    token_sha256: Option<String>,
    at: i64,
}

const COLUMNS: [(&str, Type); 4] = [
    ("tenant_id", Type::Int),
    ("device_id", Type::Text),
    ("token_sha256", Type::Text),
    ("at", Type::Int),
];

/// Each device once, with whoever came first.
type Once<'a> = BTreeMap<(TenantId, &'a str), &'a Registration>;

impl Batch for Registrations {
    type Item = Registration;
    type Answer = PollView;

    async fn write(&self, items: &[Registration]) -> Result<Vec<PollView>, StoreError> {
        // Each once, and in one order, so that hosts that register the same devices do not block one another.
        let mut once = Once::new();
        for item in items {
            once.entry((item.tenant, &item.device_id)).or_insert(item);
        }
        let new = once.iter().map(|((tenant, device_id), item)| New {
            tenant_id: tenant.0,
            device_id,
            token_sha256: item.enrolment.token_sha256.map(|sha256| hex(&sha256)),
            at: item.now.0,
        });
        let json = to_json(&new.collect::<Vec<_>>())?;

        let mut tx = self.database.write().await?;
        let mut tallies = Tallies::default();
        let made = insert(&mut tx, &json, &once, &mut tallies).await?;
        if made < once.len() {
            see_for_the_first_time(&mut tx, &json, &mut tallies).await?;
        }
        let views = poll_views(&mut tx, &json).await?;
        tallies.write(&mut tx).await?;
        tx.commit().await?;
        items
            .iter()
            .map(|item| {
                let view = views.get(&(item.tenant, item.device_id.clone()));
                view.cloned().ok_or_else(|| StoreError::Internal {
                    context: "register a device",
                    source: "it is not there after it was made".into(),
                })
            })
            .collect()
    }
}

/// Makes those that are not there; answers how many.
async fn insert(
    tx: &mut Tx,
    json: &str,
    once: &Once<'_>,
    tallies: &mut Tallies,
) -> Result<usize, StoreError> {
    let sql = format!(
        "INSERT INTO devices \
         (tenant_id, device_id, name, token_sha256, state, wants_attributes, last_seen, created_at) \
         SELECT tenant_id, device_id, device_id, token_sha256, 'registered', 1, at, at FROM {} \
         WHERE true ON CONFLICT (tenant_id, device_id) DO NOTHING \
         RETURNING tenant_id, id, device_id",
        tx.dialect().rows("new", "$1", &COLUMNS)
    );
    let made = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(json)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("register devices"))?;
    let registered = DeviceTraits {
        state: DeviceState::Registered,
        sw_version: None,
        hw_model: None,
        drifted: false,
    };
    let mut grouped = Vec::new();
    for row in &made {
        let tenant = tenant(row).map_err(bad_row("read device row"))?;
        tallies.device(tenant, None, &registered);
        grouped.extend(in_group(row, tenant, once).map_err(bad_row("read device row"))?);
    }
    put_in_groups(tx, &grouped).await?;
    Ok(made.len())
}

#[derive(Serialize)]
struct InGroup<'a> {
    tenant_id: i64,
    device_id: i64,
    name: Cow<'a, str>,
}

/// The group that a device that was just made is given.
fn in_group<'a>(
    row: &AnyRow,
    tenant: TenantId,
    once: &Once<'a>,
) -> Result<Option<InGroup<'a>>, BadRow> {
    let item = once.get(&(tenant, row.take("device_id")?));
    let Some(group) = item.and_then(|item| item.enrolment.group.as_deref()) else {
        return Ok(None);
    };
    Ok(Some(InGroup {
        tenant_id: tenant.0,
        device_id: row.take("id")?,
        name: storable(group),
    }))
}

async fn put_in_groups(tx: &mut Tx, grouped: &[InGroup<'_>]) -> Result<(), StoreError> {
    if grouped.is_empty() {
        return Ok(());
    }
    let columns = [
        ("tenant_id", Type::Int),
        ("device_id", Type::Int),
        ("name", Type::Text),
    ];
    let sql = format!(
        "INSERT INTO device_groups (tenant_id, device_id, name) \
         SELECT tenant_id, device_id, name FROM {}",
        tx.dialect().rows("grouped", "$1", &columns)
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(to_json(&grouped)?)
        .execute(tx.conn())
        .await
        .map_err(failed("put devices into groups"))?;
    Ok(())
}

/// Those that an operator made are seen now.
async fn see_for_the_first_time(
    tx: &mut Tx,
    json: &str,
    tallies: &mut Tallies,
) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE devices SET state = 'registered', last_seen = seen.at FROM {} \
         WHERE devices.tenant_id = seen.tenant_id AND devices.device_id = seen.device_id \
         AND devices.state = 'unknown' RETURNING devices.tenant_id AS tenant_id",
        tx.dialect().rows("seen", "$1", &COLUMNS)
    );
    let seen = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(json)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("register devices"))?;
    for row in &seen {
        let tenant = tenant(row).map_err(bad_row("read device row"))?;
        tallies.add(
            tenant,
            Kind::DevicesByState,
            DeviceState::Unknown.as_str(),
            -1,
        );
        tallies.add(
            tenant,
            Kind::DevicesByState,
            DeviceState::Registered.as_str(),
            1,
        );
    }
    Ok(())
}

fn tenant(row: &AnyRow) -> Result<TenantId, BadRow> {
    row.take("tenant_id").map(TenantId)
}
