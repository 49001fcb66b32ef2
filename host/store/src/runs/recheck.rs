use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::{campaign::CampaignStatus, id::DeviceKey};
use tidegate_engine::ports::{AffectedDevice, Fence, Offer, RunRef, StoreError};

use super::{
    commit::commit,
    lease::lock_if_fenced,
    offer::new_update,
    skipped::{SkipRules, SkippedDevice, insert},
};
use crate::{
    database::{Database, Tx},
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
    tenant_counters::TenantCounters,
    updates::unit_of_work::UpdateUnitOfWork,
};

const READ: &str = "read devices to recheck";

/// Rechecks up to `limit` skipped devices and creates updates for those whose reason no longer applies. Does nothing
/// under a lost fence, or if the campaign is not in progress.
pub(crate) async fn offer_skipped_updates(
    database: &Database,
    run: RunRef,
    fence: Fence,
    limit: u32,
    offer: &Offer,
) -> Result<Vec<AffectedDevice>, StoreError> {
    // Check without the write lock: usually there are none.
    let ready = to_recheck(&mut database.read_single().await?, run, 1).await?;
    if ready.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = database.write().await?;
    let run_row = lock_if_fenced(&mut tx, run, fence).await?;
    if run_row.is_none_or(|run_row| run_row.status() != CampaignStatus::InProgress) {
        return Ok(Vec::new());
    }
    let ready = to_recheck(&mut tx, run, limit).await?;
    let devices: BTreeSet<DeviceKey> = ready.keys().copied().collect();
    let mut work =
        UpdateUnitOfWork::open(&mut tx, run.tenant, &devices, &BTreeSet::new(), offer.now).await?;
    let rules = SkipRules::load(&mut tx, run, &devices).await?;
    let attributes = offer.compatibility.attributes.iter().map(String::as_str);
    work.read_class_attributes(&mut tx, attributes).await?;
    let (mut new, mut skipped_devices) = (Vec::new(), Vec::new());
    for (key, wave) in ready {
        let Some(device) = work.device(key) else {
            continue;
        };
        if let Some(reason) = rules.skip_reason(key, device) {
            skipped_devices.push(SkippedDevice::new(key, wave, reason));
            continue;
        }
        let offered = work.offered(key, offer);
        let update = new_update(run, wave, key, device, offer, offered);
        new.push((wave, update));
    }
    let offered: Vec<DeviceKey> = new.iter().map(|(_, new)| new.device).collect();
    insert(&mut tx, run, &skipped_devices, offer.now).await?;
    remove(&mut tx, run, &offered).await?;
    let mut tenant_counters = TenantCounters::default();
    for (wave, _) in &new {
        work.count_readmitted(run.campaign, *wave);
    }
    let new = new.into_iter().map(|(_, new)| new).collect();
    work.create_updates(&mut tx, new, &mut tenant_counters)
        .await?;
    commit(tx, run, work, tenant_counters, offered).await
}

/// Devices to recheck, with their waves.
async fn to_recheck(
    tx: &mut Tx,
    run: RunRef,
    limit: u32,
) -> Result<BTreeMap<DeviceKey, u32>, StoreError> {
    let rows = sqlx::query(
        "SELECT device_key, wave FROM skipped_devices \
         WHERE tenant_id = $1 AND campaign_id = $2 AND needs_recheck = 1 ORDER BY device_key LIMIT $3",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    let read = |row: &AnyRow| -> Result<_, RowError> {
        let wave = row.count("wave")?;
        let wave = u32::try_from(wave).map_err(|_| RowError::OutOfRange {
            column: "wave",
            value: wave as i64,
        })?;
        Ok((DeviceKey(row.take("device_key")?), wave))
    };
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(row_error(READ))
}

async fn remove(tx: &mut Tx, run: RunRef, devices: &[DeviceKey]) -> Result<(), StoreError> {
    if devices.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = devices.iter().map(|key| key.0).collect();
    let which = tx.dialect().key_in_json("device_key", "$3");
    let sql = format!(
        "DELETE FROM skipped_devices WHERE tenant_id = $1 AND campaign_id = $2 AND {which}"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .bind(to_json(&keys)?)
        .execute(tx.conn())
        .await
        .map_err(failed("remove devices that are offered their updates"))?;
    Ok(())
}
