use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;
use sqlx::{AssertSqlSafe, any::AnyRow};
use tidegate_core::{
    campaign::CampaignStatus,
    id::{CampaignId, DeviceKey, TenantId},
    mode::{PassedOver, passes_over},
    time::Timestamp,
};
use tidegate_engine::ports::{Fence, Offer, RunRef, StoreError, Touched};

use super::{admit::offered, due, lease::under, superseded::superseded};
use crate::{
    database::{Database, Tx},
    dialect::Type,
    error::failed,
    rows::{BadRow, Columns as _, bad_row, to_json},
    tallies::Tallies,
    updates::ledger::{DeviceRow, Ledger, announce_touched},
};

const READ: &str = "read which devices were passed over";
const WRITE: &str = "note which devices were passed over";

/// Says which devices a campaign passes over.
pub(super) struct Judge {
    feed: Option<String>,
    superseded: HashSet<DeviceKey>,
}

impl Judge {
    /// For these devices of a campaign.
    pub(super) async fn of(
        tx: &mut Tx,
        run: RunRef,
        devices: &BTreeSet<DeviceKey>,
    ) -> Result<Self, StoreError> {
        let row = sqlx::query("SELECT feed FROM campaigns WHERE tenant_id = $1 AND id = $2")
            .bind(run.tenant.0)
            .bind(run.campaign.0)
            .fetch_one(tx.conn())
            .await
            .map_err(failed(READ))?;
        let feed: Option<String> = row.take("feed").map_err(bad_row(READ))?;
        let superseded = match &feed {
            Some(feed) => superseded(tx, run, feed, devices).await?,
            None => HashSet::new(),
        };
        Ok(Self { feed, superseded })
    }

    pub(super) fn passes_over(&self, key: DeviceKey, device: &DeviceRow) -> Option<PassedOver> {
        passes_over(device.standing(), self.feed.as_deref()).or_else(|| {
            let is_superseded = self.superseded.contains(&key);
            is_superseded.then_some(PassedOver::Superseded)
        })
    }
}

/// A device that a campaign passes over.
#[derive(Debug, Serialize)]
pub(super) struct Passed {
    device_id: i64,
    wave: u32,
    reason: &'static str,
}

impl Passed {
    pub(super) fn new(device: DeviceKey, wave: u32, reason: PassedOver) -> Self {
        Self {
            device_id: device.0,
            wave,
            reason: reason.as_str(),
        }
    }
}

const COLUMNS: [(&str, Type); 3] = [
    ("device_id", Type::Int),
    ("wave", Type::Int),
    ("reason", Type::Text),
];

/// Notes which devices a campaign passes over, and why; of one that was passed over before, the new reason.
pub(super) async fn insert(
    tx: &mut Tx,
    run: RunRef,
    passed: &[Passed],
    now: Timestamp,
) -> Result<(), StoreError> {
    if passed.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO passed_over (tenant_id, campaign_id, device_id, wave, reason, at, ready) \
         SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), p.device_id, p.wave, p.reason, CAST($3 AS BIGINT), 0 \
         FROM {} WHERE true \
         ON CONFLICT (tenant_id, campaign_id, device_id) DO UPDATE SET reason = excluded.reason, ready = 0",
        tx.dialect().rows("p", "$4", &COLUMNS)
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .bind(now.0)
        .bind(to_json(&passed)?)
        .execute(tx.conn())
        .await
        .map_err(failed(WRITE))?;
    Ok(())
}

/// Looks again at up to `limit` devices that were passed over and whose reason may be gone; makes updates for those
/// whose reason is. Under a lost fence, and for a campaign that is not in progress, it does nothing.
pub(super) async fn admit_after_all(
    database: &Database,
    run: RunRef,
    fence: Fence,
    limit: u32,
    offer: &Offer,
) -> Result<Vec<Touched>, StoreError> {
    // Most of the time there are none: looking for them takes no writer.
    if ready(&mut database.once().await?, run, 1).await?.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = database.write().await?;
    let standing = under(&mut tx, run, fence).await?;
    if standing.is_none_or(|standing| standing.status() != CampaignStatus::InProgress) {
        return Ok(Vec::new());
    }
    let ready = ready(&mut tx, run, limit).await?;
    let devices: BTreeSet<DeviceKey> = ready.keys().copied().collect();
    let mut ledger =
        Ledger::open(&mut tx, run.tenant, &devices, &BTreeSet::new(), offer.now).await?;
    let judge = Judge::of(&mut tx, run, &devices).await?;
    let (mut new, mut passed) = (Vec::new(), Vec::new());
    for (key, wave) in ready {
        let Some(device) = ledger.device(key) else {
            continue;
        };
        match judge.passes_over(key, device) {
            Some(reason) => passed.push(Passed::new(key, wave, reason)),
            None => new.push((wave, offered(run, wave, key, device, offer))),
        }
    }
    let admitted: Vec<DeviceKey> = new.iter().map(|(_, new)| new.device).collect();
    insert(&mut tx, run, &passed, offer.now).await?;
    remove(&mut tx, run, &admitted).await?;
    let mut tallies = Tallies::default();
    for (wave, _) in &new {
        ledger.let_in(run.campaign, *wave);
    }
    let new = new.into_iter().map(|(_, new)| new).collect();
    ledger.make(&mut tx, new, &mut tallies).await?;
    let touched: Vec<_> = admitted
        .iter()
        .filter_map(|key| ledger.touched(*key, Some(run.campaign)))
        .collect();
    announce_touched(&mut tx, &touched).await?;
    ledger.write(&mut tx, &mut tallies).await?;
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    Ok(touched)
}

/// Devices that are to be looked at again, with their waves.
async fn ready(
    tx: &mut Tx,
    run: RunRef,
    limit: u32,
) -> Result<BTreeMap<DeviceKey, u32>, StoreError> {
    let rows = sqlx::query(
        "SELECT device_id, wave FROM passed_over \
         WHERE tenant_id = $1 AND campaign_id = $2 AND ready = 1 ORDER BY device_id LIMIT $3",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    let read = |row: &AnyRow| -> Result<_, BadRow> {
        let wave = row.count("wave")?;
        let wave = u32::try_from(wave).map_err(|_| BadRow::Number {
            column: "wave",
            value: wave as i64,
        })?;
        Ok((DeviceKey(row.take("device_id")?), wave))
    };
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(bad_row(READ))
}

async fn remove(tx: &mut Tx, run: RunRef, devices: &[DeviceKey]) -> Result<(), StoreError> {
    if devices.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = devices.iter().map(|key| key.0).collect();
    let which = tx.dialect().among("device_id", "$3");
    let sql =
        format!("DELETE FROM passed_over WHERE tenant_id = $1 AND campaign_id = $2 AND {which}");
    sqlx::query(AssertSqlSafe(sql))
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .bind(to_json(&keys)?)
        .execute(tx.conn())
        .await
        .map_err(failed(WRITE))?;
    Ok(())
}

/// A device was changed: the campaigns that passed over it for what it was are to look at it again. Answers them.
pub(crate) async fn look_again(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
    now: Timestamp,
) -> Result<Vec<CampaignId>, StoreError> {
    let rows = sqlx::query(
        "UPDATE passed_over SET ready = 1 WHERE tenant_id = $1 AND device_id = $2 AND reason <> 'superseded' \
         RETURNING campaign_id",
    )
    .bind(tenant.0)
    .bind(device.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(WRITE))?;
    let campaigns: Result<BTreeSet<_>, _> = rows
        .iter()
        .map(|row| row.take("campaign_id").map(CampaignId))
        .collect();
    let campaigns = campaigns.map_err(bad_row(READ))?;
    for campaign in &campaigns {
        let run = RunRef {
            tenant,
            campaign: *campaign,
        };
        due::wake(tx, run, now).await?;
    }
    Ok(campaigns.into_iter().collect())
}

/// Why a campaign passed over a device.
pub(crate) async fn passed_over(
    tx: &mut Tx,
    tenant: TenantId,
    campaign: CampaignId,
    device: DeviceKey,
) -> Result<Option<PassedOver>, StoreError> {
    let row = sqlx::query(
        "SELECT reason FROM passed_over WHERE tenant_id = $1 AND campaign_id = $2 AND device_id = $3",
    )
    .bind(tenant.0)
    .bind(campaign.0)
    .bind(device.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(READ))?;
    row.map(|row| row.word("reason", PassedOver::parse))
        .transpose()
        .map_err(bad_row(READ))
}
