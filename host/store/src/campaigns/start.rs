use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use sqlx::AssertSqlSafe;
use tidegate_core::{
    Named as _,
    campaign::{Campaign, CampaignStatus},
    id::{CampaignId, DeviceKey, TenantId},
    plugin::{OperatorAct, OperatorActKind},
    time::Timestamp,
};
use tidegate_engine::{
    Ctx,
    ports::{CampaignStart, ClassVerdict, NewWave, StoreError},
};

use super::{intermediate, json::ClassJson, run_row::CampaignRunRow};
use crate::{
    audit::{self, AuditEntry},
    blob::{MEMBERS_PER_CHUNK, MemberSlot, SELECTED_PER_CHUNK, pack_keys, pack_slots},
    database::{Database, Tx},
    dialect::{ColumnType, storable},
    error::{failed, internal},
    rows::{to_i64, to_json},
    tenant_counters::TenantCounters,
};

const START: &str = "start campaign";

/// A transaction that changed a device and did not see that the campaign started has ended by then.
const JOIN_SCAN_DELAY: Duration = Duration::from_mins(1);

/// Starts a campaign if it is still at this generation; otherwise returns false.
pub(crate) async fn start(
    database: &Database,
    ctx: &Ctx,
    campaign: &Campaign,
    campaign_start: CampaignStart,
) -> Result<bool, StoreError> {
    let slots = slots(&campaign_start)?;
    let (tenant, id) = (ctx.tenant, campaign.id);
    let mut tx = database.write().await?;
    let Some(mut run_row) = CampaignRunRow::lock_as_read(&mut tx, tenant, campaign).await? else {
        return Ok(false);
    };
    run_row.generation += 1;
    let started = OperatorAct {
        at: campaign_start.at,
        kind: OperatorActKind::Started,
        gate: None,
        wave: None,
        reason: None,
        role: ctx.role.as_str().to_owned(),
    };
    run_row.set_status(CampaignStatus::InProgress);
    run_row.push_operator_act(started);
    run_row.started_at = Some(campaign_start.at);
    run_row.wake_at = Some(campaign_start.at);
    run_row.parallel = campaign_start.parallel;
    run_row.is_dynamic = campaign_start.is_dynamic;
    let scan_at = campaign_start.at.plus(JOIN_SCAN_DELAY);
    run_row.join_scan_at = campaign_start.is_dynamic.then_some(scan_at);
    // It was that of a start that failed.
    run_row.set_explanation(&[])?;
    run_row.total_devices = slots.len() as u64;
    run_row
        .append_journal(&mut tx, &campaign_start.journal)
        .await?;
    insert_waves(&mut tx, tenant, id, &campaign_start.waves).await?;
    insert_members(&mut tx, tenant, id, &campaign_start.waves).await?;
    insert_slots(&mut tx, tenant, id, &slots).await?;
    insert_classes(&mut tx, tenant, id, 0, campaign_start.classes, None).await?;
    let mut tenant_counters = TenantCounters::default();
    run_row.write(&mut tx, &mut tenant_counters).await?;
    tenant_counters.write(&mut tx).await?;
    let before = json!({ "status": campaign.status.as_str() });
    let after = json!({
        "status": CampaignStatus::InProgress.as_str(),
        "waves": campaign_start.waves.len(), "devices": slots.len(),
    });
    audit::record(
        &mut tx,
        ctx,
        AuditEntry::new("campaign.start", id, before, after),
    )
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// The slot of every selected device, ordered by key.
fn slots(campaign_start: &CampaignStart) -> Result<Vec<MemberSlot>, StoreError> {
    let invalid =
        |key: DeviceKey, what: &str| Err(internal(START)(format!("device {key} is {what}").into()));
    let mut members = Vec::with_capacity(campaign_start.selected.len());
    for (index, wave) in (0_u32..).zip(&campaign_start.waves) {
        let wave = (0_u32..).zip(&wave.members);
        members.extend(wave.map(|(position, key)| (*key, (index, position))));
    }
    members.sort_unstable();
    if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return invalid(pair[0].0, "in two waves");
    }
    let mut members = members.into_iter().peekable();
    let mut selected = campaign_start.selected.clone();
    selected.sort_unstable();
    let slots = selected.into_iter().map(|(key, class)| {
        let member = members.next_if(|(member, _)| *member == key);
        let wave = member.map(|(_, wave)| wave);
        MemberSlot { key, class, wave }
    });
    let slots = slots.collect();
    match members.next() {
        Some((key, _)) => invalid(key, "in a wave but was not selected"),
        None => Ok(slots),
    }
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
        ("wave", ColumnType::Int),
        ("name", ColumnType::Text),
        ("size", ColumnType::Int),
    ];
    let from = tx.dialect().json_rows("w", "$3", &columns);
    let sql = format!(
        "INSERT INTO waves (tenant_id, campaign_id, wave, name, size, released, admitted, offered, in_progress, \
         completed, failed, timed_out, cancelled, rejected, accepted_failures) \
         SELECT $1, $2, w.wave, w.name, w.size, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM {from}"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(id.0)
        .bind(to_json(&rows)?)
        .execute(tx.conn())
        .await
        .map_err(failed(START))?;
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
            .map_err(failed(START))?;
        }
    }
    Ok(())
}

async fn insert_slots(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    slots: &[MemberSlot],
) -> Result<(), StoreError> {
    for slots in slots.chunks(SELECTED_PER_CHUNK) {
        sqlx::query(
            "INSERT INTO campaign_devices (tenant_id, campaign_id, first_device_key, slots) VALUES ($1, $2, $3, $4)",
        )
        .bind(tenant.0)
        .bind(id.0)
        .bind(slots[0].key.0)
        .bind(pack_slots(slots))
        .execute(tx.conn())
        .await
        .map_err(failed(START))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct VerdictJson {
    class: u32,
    class_key: String,
    devices: i64,
    exclusion_reason: Option<String>,
    is_unchecked: i64,
    intermediate_firmware_id: Option<i64>,
    intermediate_reason: Option<String>,
}

/// Adds classes from this number on. `checked_at`: when policies checked them, if that was after the start.
pub(crate) async fn insert_classes(
    tx: &mut Tx,
    tenant: TenantId,
    id: CampaignId,
    first: u32,
    classes: Vec<ClassVerdict>,
    checked_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    let intermediate = classes
        .iter()
        .filter_map(|class| Some(class.intermediate.as_ref()?.firmware));
    intermediate::keep(tx, tenant, id, &intermediate.collect()).await?;
    let mut rows = Vec::with_capacity(classes.len());
    let storable_reason = |reason: &String| storable(reason).into_owned();
    for (class, verdict) in (first..).zip(classes) {
        let intermediate = verdict.intermediate.as_ref();
        rows.push(VerdictJson {
            class,
            class_key: to_json(&ClassJson::from(verdict.key))?,
            devices: to_i64(verdict.devices),
            exclusion_reason: verdict.excluded.as_ref().map(storable_reason),
            is_unchecked: i64::from(verdict.is_unchecked),
            intermediate_firmware_id: intermediate.map(|first| first.firmware.0),
            intermediate_reason: intermediate.map(|first| storable_reason(&first.reason)),
        });
    }
    let columns = [
        ("class", ColumnType::Int),
        ("class_key", ColumnType::Text),
        ("devices", ColumnType::Int),
        ("exclusion_reason", ColumnType::Text),
        ("is_unchecked", ColumnType::Int),
        ("intermediate_firmware_id", ColumnType::Int),
        ("intermediate_reason", ColumnType::Text),
    ];
    let from = tx.dialect().json_rows("c", "$3", &columns);
    let sql = format!(
        "INSERT INTO campaign_classes (tenant_id, campaign_id, class, class_key, devices, exclusion_reason, is_unchecked, \
         intermediate_firmware_id, intermediate_reason, checked_at) \
         SELECT $1, $2, c.class, c.class_key, c.devices, c.exclusion_reason, c.is_unchecked, c.intermediate_firmware_id, \
         c.intermediate_reason, CAST($4 AS BIGINT) FROM {from}"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(id.0)
        .bind(to_json(&rows)?)
        .bind(checked_at.map(|at| at.0))
        .execute(tx.conn())
        .await
        .map_err(failed("store the classes of a campaign"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidegate_engine::ports::NewWave;

    use super::*;

    #[test]
    fn a_device_is_in_one_wave_and_was_selected() {
        let slots = |waves: &[&[i64]]| {
            let wave = |members: &&[i64]| NewWave {
                name: String::new(),
                members: members.iter().copied().map(DeviceKey).collect(),
            };
            let campaign_start = CampaignStart {
                at: Timestamp(0),
                waves: waves.iter().map(wave).collect(),
                parallel: false,
                is_dynamic: false,
                classes: Vec::new(),
                selected: vec![(DeviceKey(3), 0), (DeviceKey(1), 1), (DeviceKey(2), 0)],
                journal: Vec::new(),
            };
            let slots = slots(&campaign_start).map_err(|error| format!("{error:?}"))?;
            let slots = slots
                .into_iter()
                .map(|slot| (slot.key.0, slot.class, slot.wave));
            Ok::<_, String>(slots.collect::<Vec<_>>())
        };
        let expected = [(1, 1, Some((1, 0))), (2, 0, None), (3, 0, Some((0, 0)))];
        assert_eq!(slots(&[&[3], &[1]]), Ok(expected.to_vec()));
        for (waves, reason) in [
            ([&[3_i64, 1] as &[i64], &[1]], "device 1 is in two waves"),
            ([&[3], &[4]], "device 4 is in a wave but was not selected"),
        ] {
            let error = slots(&waves).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }
}
