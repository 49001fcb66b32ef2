//! Devices join the last wave of a campaign whose plan is dynamic.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::Row as _;
use tidegate_core::{campaign::CampaignStatus, id::DeviceKey, plugin::ClassKey, time::Timestamp};
use tidegate_engine::ports::{KnownClass, LateDevices, RunRef, StoreError};

use super::{
    due,
    outsiders::{known_classes, next_class, outsiders},
};
use crate::{
    blob::{MEMBERS_PER_CHUNK, pack_keys, unpack_keys},
    campaigns::{
        CampaignRunRow,
        late_devices::{LastWave, last_wave},
        lock_counters,
        start::insert_classes,
    },
    database::{Database, Tx},
    dialect::ColumnType,
    error::{failed, internal},
    rows::{to_i64, to_json},
    sql::SqlText,
    tenant_counters::TenantCounters,
};

const JOIN: &str = "add devices to a campaign";

/// Adds devices to a campaign: those of accepted classes at the end of its last wave, in their order, the others as excluded.
/// Stores the verdicts on their classes, and wakes the campaign. False, and nothing is changed, if devices cannot join it, or
/// if one of them has joined or was excluded meanwhile.
pub(crate) async fn join(
    database: &Database,
    run: RunRef,
    late: LateDevices,
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    let Some(mut run_row) = CampaignRunRow::lock(&mut tx, run.tenant, run.campaign).await? else {
        return Ok(false);
    };
    let is_joinable = CampaignStatus::JOINABLE.contains(&run_row.status());
    if !run_row.is_dynamic || !is_joinable || !are_outsiders(&mut tx, run, &late).await? {
        return Ok(false);
    }
    let classes = add_classes(&mut tx, run, &late).await?;
    let mut rows = Rows::default();
    let wave = last_wave(&mut tx, run).await?;
    for device in &late.devices {
        let Some(class) = classes.get(&device.class) else {
            return Err(internal(JOIN)(
                "the class of a device was not checked".into(),
            ));
        };
        rows.add(
            device.outsider.device,
            device.outsider.excluded_as,
            class,
            &wave,
        );
    }
    let joined = rows.joined.len() as u64;
    run_row.generation += 1;
    run_row.total_devices += rows.new;
    run_row.joined_devices += joined;
    run_row.append_journal(&mut tx, &late.journal).await?;
    let mut tenant_counters = TenantCounters::default();
    run_row.write(&mut tx, &mut tenant_counters).await?;
    rows.write(&mut tx, run, late.at).await?;
    if joined > 0 {
        lock_counters(&mut tx, run.tenant, run.campaign).await?;
        append_members(&mut tx, run, &wave, &rows.joined).await?;
        due::wake(&mut tx, run, late.at).await?;
    }
    tenant_counters.write(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// When the targeted devices are checked; `None`: they were.
pub(crate) async fn set_scan(
    database: &Database,
    run: RunRef,
    at: Option<Timestamp>,
) -> Result<(), StoreError> {
    let mut tx = database.write().await?;
    sqlx::query(
        "UPDATE campaign_runs SET join_scan_at = $3 WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(at.map(|at| at.0))
    .execute(tx.conn())
    .await
    .map_err(failed("store when targeted devices are checked"))?;
    tx.commit().await
}

/// Whether the devices are outsiders as they were read.
async fn are_outsiders(tx: &mut Tx, run: RunRef, late: &LateDevices) -> Result<bool, StoreError> {
    let keys = late.devices.iter().map(|device| device.outsider.device);
    let now = outsiders(tx, run, &keys.collect()).await?;
    let mut read: Vec<_> = late.devices.iter().map(|device| device.outsider).collect();
    read.sort_unstable_by_key(|outsider| outsider.device);
    Ok(now == read)
}

/// Stores the classes that are new. Returns the classes of the devices.
async fn add_classes(
    tx: &mut Tx,
    run: RunRef,
    late: &LateDevices,
) -> Result<BTreeMap<ClassKey, KnownClass>, StoreError> {
    let keys: BTreeSet<_> = late.devices.iter().map(|device| &device.class).collect();
    let keys: Vec<ClassKey> = keys.into_iter().cloned().collect();
    let known = known_classes(tx, run, &keys).await?;
    let mut new = late.classes.clone();
    new.retain(|class| !known.by_key.contains_key(&class.key));
    let first = next_class(tx, run).await?;
    let mut classes = known.by_key;
    for (index, class) in (first..).zip(&new) {
        let excluded = class.excluded.clone();
        classes.insert(class.key.clone(), KnownClass { index, excluded });
    }
    for class in &mut new {
        // Counted with the devices.
        class.devices = 0;
    }
    insert_classes(tx, run.tenant, run.campaign, first, new, Some(late.at)).await?;
    Ok(classes)
}

#[derive(Serialize)]
struct LateRow {
    device_key: i64,
    class: u32,
    position: Option<u64>,
}

#[derive(Serialize)]
struct ClassRow {
    class: u32,
    devices: i64,
}

/// The rows to be written.
#[derive(Default)]
struct Rows {
    late: Vec<LateRow>,
    /// The devices that join, in their order.
    joined: Vec<DeviceKey>,
    /// By how much the number of devices of each class grows.
    classes: BTreeMap<u32, i64>,
    /// The number of devices that the campaign had not selected before.
    new: u64,
}

impl Rows {
    fn add(
        &mut self,
        device: DeviceKey,
        excluded_as: Option<u32>,
        class: &KnownClass,
        wave: &LastWave,
    ) {
        let position = wave.size + self.joined.len() as u64;
        let is_accepted = class.excluded.is_none();
        if is_accepted {
            self.joined.push(device);
        }
        self.late.push(LateRow {
            device_key: device.0,
            class: class.index,
            position: is_accepted.then_some(position),
        });
        *self.classes.entry(class.index).or_default() += 1;
        match excluded_as {
            Some(before) => *self.classes.entry(before).or_default() -= 1,
            None => self.new += 1,
        }
    }

    async fn write(&self, tx: &mut Tx, run: RunRef, at: Timestamp) -> Result<(), StoreError> {
        static LATE: SqlText = SqlText::new(|dialect| {
            let columns = [
                ("device_key", ColumnType::Int),
                ("class", ColumnType::Int),
                ("position", ColumnType::Int),
            ];
            format!(
                "INSERT INTO late_devices (tenant_id, campaign_id, device_key, class, position, at) \
                 SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), l.device_key, l.class, l.position, CAST($4 AS BIGINT) \
                 FROM {} WHERE true ON CONFLICT (tenant_id, campaign_id, device_key) \
                 DO UPDATE SET class = excluded.class, position = excluded.position, at = excluded.at",
                dialect.json_rows("l", "$3", &columns)
            )
        });
        static CLASSES: SqlText = SqlText::new(|dialect| {
            let columns = [("class", ColumnType::Int), ("devices", ColumnType::Int)];
            format!(
                "UPDATE campaign_classes SET devices = campaign_classes.devices + more.devices FROM {} \
                 WHERE campaign_classes.tenant_id = $1 AND campaign_classes.campaign_id = $2 \
                 AND campaign_classes.class = more.class",
                dialect.json_rows("more", "$3", &columns)
            )
        });
        sqlx::query(LATE.of(tx.dialect()))
            .bind(run.tenant.0)
            .bind(run.campaign.0)
            .bind(to_json(&self.late)?)
            .bind(at.0)
            .execute(tx.conn())
            .await
            .map_err(failed(JOIN))?;
        let classes = self.classes.iter();
        let classes = classes.map(|(class, devices)| ClassRow {
            class: *class,
            devices: *devices,
        });
        sqlx::query(CLASSES.of(tx.dialect()))
            .bind(run.tenant.0)
            .bind(run.campaign.0)
            .bind(to_json(&classes.collect::<Vec<_>>())?)
            .execute(tx.conn())
            .await
            .map_err(failed(JOIN))?;
        Ok(())
    }
}

/// Appends devices to the last wave.
async fn append_members(
    tx: &mut Tx,
    run: RunRef,
    wave: &LastWave,
    devices: &[DeviceKey],
) -> Result<(), StoreError> {
    let per_chunk = MEMBERS_PER_CHUNK as u64;
    let first = wave.size / per_chunk;
    let mut members = match wave.size % per_chunk {
        0 => Vec::new(),
        _ => chunk(tx, run, wave.index, first).await?,
    };
    members.extend_from_slice(devices);
    for (chunk, members) in (first..).zip(members.chunks(MEMBERS_PER_CHUNK)) {
        sqlx::query(
            "INSERT INTO wave_members (tenant_id, campaign_id, wave, chunk, members) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (tenant_id, campaign_id, wave, chunk) DO UPDATE SET members = excluded.members",
        )
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .bind(i64::from(wave.index))
        .bind(to_i64(chunk))
        .bind(pack_keys(members))
        .execute(tx.conn())
        .await
        .map_err(failed(JOIN))?;
    }
    sqlx::query(
        "UPDATE waves SET size = size + $4 WHERE tenant_id = $1 AND campaign_id = $2 AND wave = $3",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(i64::from(wave.index))
    .bind(to_i64(devices.len() as u64))
    .execute(tx.conn())
    .await
    .map_err(failed(JOIN))?;
    Ok(())
}

async fn chunk(
    tx: &mut Tx,
    run: RunRef,
    wave: u32,
    chunk: u64,
) -> Result<Vec<DeviceKey>, StoreError> {
    const READ: &str = "read the last devices of a wave";
    let row = sqlx::query(
        "SELECT members FROM wave_members WHERE tenant_id = $1 AND campaign_id = $2 AND wave = $3 AND chunk = $4",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(i64::from(wave))
    .bind(to_i64(chunk))
    .fetch_one(tx.conn())
    .await
    .map_err(failed(READ))?;
    let blob: &[u8] = row.try_get("members").map_err(failed(READ))?;
    unpack_keys(blob).map_err(|error| internal(READ)(Box::new(error)))
}
