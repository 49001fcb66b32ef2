use std::collections::HashMap;

use serde::Serialize;
use sqlx::AssertSqlSafe;
use tidegate_core::{
    campaign::CampaignStatus,
    id::{CampaignId, DeviceKey, TenantId},
    plugin::{OperatorAct, OperatorActKind},
};
use tidegate_engine::ports::{Beginning, ClassVerdict, NewWave, StoreError};

use super::{json::ClassJson, standing::Standing};
use crate::{
    database::{Database, Tx},
    dialect::{Type, storable},
    error::{failed, internal},
    packed::{MEMBERS_PER_CHUNK, Place, SELECTED_PER_CHUNK, pack_keys, pack_places},
    rows::{number, to_json},
    tallies::Tallies,
};

const BEGIN: &str = "begin campaign";

/// Starts a campaign if it is still at this generation. False: it is not.
pub(super) async fn begin(
    database: &Database,
    tenant: TenantId,
    id: CampaignId,
    generation: i64,
    beginning: Beginning,
) -> Result<bool, StoreError> {
    let places = places(&beginning)?;
    let mut tx = database.write().await?;
    let Some(mut standing) = Standing::lock(&mut tx, tenant, id).await? else {
        return Ok(false);
    };
    if standing.generation != generation {
        return Ok(false);
    }
    standing.generation += 1;
    let started = OperatorAct {
        at: beginning.at,
        kind: OperatorActKind::Started,
        wave: None,
    };
    standing.go(CampaignStatus::InProgress);
    standing.act(started);
    standing.started_at = Some(beginning.at);
    standing.wake_at = Some(beginning.at);
    standing.parallel = beginning.parallel;
    standing.total_devices = places.len() as u64;
    standing.record(&mut tx, &beginning.journal).await?;
    insert_waves(&mut tx, tenant, id, &beginning.waves).await?;
    insert_members(&mut tx, tenant, id, &beginning.waves).await?;
    insert_places(&mut tx, tenant, id, &places).await?;
    insert_classes(&mut tx, tenant, id, beginning.classes).await?;
    let mut tallies = Tallies::default();
    standing.write(&mut tx, &mut tallies).await?;
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// Every selected device with its class and its place in a wave, ordered by key.
fn places(beginning: &Beginning) -> Result<Vec<Place>, StoreError> {
    let mut waves: HashMap<DeviceKey, (u32, u32)> = HashMap::new();
    for (index, wave) in (0..).zip(&beginning.waves) {
        for (position, key) in (0..).zip(&wave.members) {
            if waves.insert(*key, (index, position)).is_some() {
                return Err(internal(BEGIN)(
                    format!("device {key} is in it twice").into(),
                ));
            }
        }
    }
    let place = |(key, class): &(DeviceKey, u32)| Place {
        key: *key,
        class: *class,
        wave: waves.remove(key),
    };
    let mut places: Vec<Place> = beginning.selected.iter().map(place).collect();
    if let Some(key) = waves.keys().next() {
        return Err(internal(BEGIN)(
            format!("device {key} is in a wave and was not selected").into(),
        ));
    }
    places.sort_unstable_by_key(|place| place.key);
    Ok(places)
}

#[derive(Serialize)]
struct WaveJson<'a> {
    wave: usize,
    name: &'a str,
    size: usize,
}

async fn insert_waves(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    waves: &[NewWave],
) -> Result<(), StoreError> {
    let names: Vec<_> = waves.iter().map(|wave| storable(&wave.name)).collect();
    let rows = waves.iter().zip(&names).enumerate();
    let rows: Vec<_> = rows
        .map(|(wave, (new, name))| WaveJson {
            wave,
            name,
            size: new.members.len(),
        })
        .collect();
    let columns = [
        ("wave", Type::Int),
        ("name", Type::Text),
        ("size", Type::Int),
    ];
    let from = tx.dialect().rows("w", "$3", &columns);
    let sql = format!(
        "INSERT INTO waves (tenant_id, campaign_id, wave, name, size, released, admitted, offered, in_progress, \
         completed, failed, timed_out, cancelled, rejected, accepted) \
         SELECT $1, $2, w.wave, w.name, w.size, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM {from}"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(id.0)
        .bind(to_json(&rows)?)
        .execute(tx.conn())
        .await
        .map_err(failed(BEGIN))?;
    Ok(())
}

async fn insert_members(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    waves: &[NewWave],
) -> Result<(), StoreError> {
    for (wave, new) in (0_i64..).zip(waves) {
        for (chunk, members) in (0_i64..).zip(new.members.chunks(MEMBERS_PER_CHUNK)) {
            sqlx::query(
                "INSERT INTO wave_members (tenant_id, campaign_id, wave, chunk, members) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(tenant.0)
            .bind(id.0)
            .bind(wave)
            .bind(chunk)
            .bind(pack_keys(members))
            .execute(tx.conn())
            .await
            .map_err(failed(BEGIN))?;
        }
    }
    Ok(())
}

async fn insert_places(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    places: &[Place],
) -> Result<(), StoreError> {
    for places in places.chunks(SELECTED_PER_CHUNK) {
        sqlx::query(
            "INSERT INTO campaign_selected (tenant_id, campaign_id, first_key, devices) VALUES ($1, $2, $3, $4)",
        )
        .bind(tenant.0)
        .bind(id.0)
        .bind(places[0].key.0)
        .bind(pack_places(places))
        .execute(tx.conn())
        .await
        .map_err(failed(BEGIN))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct VerdictJson {
    class: usize,
    class_key: String,
    devices: i64,
    excluded: Option<String>,
}

async fn insert_classes(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    classes: Vec<ClassVerdict>,
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(classes.len());
    for (class, verdict) in classes.into_iter().enumerate() {
        rows.push(VerdictJson {
            class,
            class_key: to_json(&ClassJson::from(verdict.key))?,
            devices: number(verdict.devices),
            excluded: verdict
                .excluded
                .map(|reason| storable(&reason).into_owned()),
        });
    }
    let columns = [
        ("class", Type::Int),
        ("class_key", Type::Text),
        ("devices", Type::Int),
        ("excluded", Type::Text),
    ];
    let from = tx.dialect().rows("c", "$3", &columns);
    let sql = format!(
        "INSERT INTO campaign_classes (tenant_id, campaign_id, class, class_key, devices, excluded) \
         SELECT $1, $2, c.class, c.class_key, c.devices, c.excluded FROM {from}"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(id.0)
        .bind(to_json(&rows)?)
        .execute(tx.conn())
        .await
        .map_err(failed(BEGIN))?;
    Ok(())
}
