use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::AssertSqlSafe;
use tidegate_core::{
    id::{DeviceKey, FirmwareId, UpdateId},
    mode::PassedOver,
    plugin::Scope,
    rollback::{self, Ended, Return, Standing},
    update::{Progress, Purpose, Try, Update},
};
use tidegate_engine::ports::{Fence, Offer, Returned, RunRef, StoreError};

use super::{
    call_back::ids,
    lease::under,
    passed_over::{self, Passed},
};
use crate::{
    database::{Database, Tx},
    error::failed,
    firmware::id_by_version,
    rows::{BadRow, Columns as _, bad_row, to_json},
    tallies::Tallies,
    updates::ledger::{DeviceRow, Ledger, NewUpdate, announce_touched},
};

const SEND_BACK: &str = "send devices back";

/// Looks at up to `limit` ended updates of the campaign's waves that were not looked at yet, and makes an update back
/// wherever one is needed. Under a lost fence it does nothing.
pub(super) async fn send_back(
    database: &Database,
    run: RunRef,
    fence: Fence,
    scope: Scope,
    limit: u32,
    offer: &Offer,
) -> Result<Returned, StoreError> {
    let mut tx = database.write().await?;
    if under(&mut tx, run, fence).await?.is_none() {
        return Ok(Returned::default());
    }
    let found = to_look_at(&mut tx, run, limit).await?;
    if found.is_empty() {
        return Ok(Returned::default());
    }
    let devices: BTreeSet<DeviceKey> = found.iter().map(|(_, device)| *device).collect();
    let updates: BTreeSet<UpdateId> = found.iter().map(|(id, _)| *id).collect();
    let mut ledger = Ledger::open(&mut tx, run.tenant, &devices, &updates, offer.now).await?;
    let before = Before::find(&mut tx, run, &ledger, &updates).await?;
    let (mut new, mut pinned) = (Vec::new(), Vec::new());
    for (id, device) in &found {
        let decided = match (ledger.entry(*id), ledger.device(*device)) {
            (Some(entry), Some(device)) => decide(&entry.update, device, &ledger, &before, scope),
            _ => Return::NotNeeded,
        };
        ledger.looked_at(run.campaign, *id, decided);
        match decided {
            Return::To(firmware) => new.push(before.offer(run, *device, firmware, offer)),
            Return::Pinned => pinned.extend(stays(&ledger, *id)),
            Return::NotNeeded | Return::Impossible | Return::UnderWay(_) => {}
        }
    }
    passed_over::insert(&mut tx, run, &pinned, offer.now).await?;
    let mut tallies = Tallies::default();
    let touched: Vec<_> = new
        .iter()
        .filter_map(|new| ledger.touched(new.device, Some(run.campaign)))
        .collect();
    ledger.make(&mut tx, new, &mut tallies).await?;
    announce_touched(&mut tx, &touched).await?;
    ledger.write(&mut tx, &mut tallies).await?;
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    Ok(Returned {
        looked_at: found.len() as u64,
        touched,
    })
}

async fn to_look_at(
    tx: &mut Tx,
    run: RunRef,
    limit: u32,
) -> Result<Vec<(UpdateId, DeviceKey)>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, device_id FROM updates WHERE tenant_id = $1 AND campaign_id = $2 AND completed_at IS NOT NULL \
         AND looked_at IS NULL AND purpose = 'forward' ORDER BY id LIMIT $3",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(SEND_BACK))?;
    rows.iter()
        .map(ids)
        .collect::<Result<_, _>>()
        .map_err(bad_row(SEND_BACK))
}

fn decide(
    update: &Update,
    device: &DeviceRow,
    ledger: &Ledger,
    before: &Before,
    scope: Scope,
) -> Return {
    let standing = Standing {
        installed: device.installed_update,
        reported_version: device.sw_version.as_deref(),
        is_pinned: device.pinned,
        updates: ledger
            .of_device(update.device)
            .map(|entry| &entry.update)
            .collect(),
    };
    let ended = Ended::of(update, before.of(update, device), &standing);
    ended.map_or(Return::NotNeeded, |ended| rollback::after(&ended, scope))
}

/// A device that the way back passes over.
fn stays(ledger: &Ledger, id: UpdateId) -> Option<Passed> {
    let update = &ledger.entry(id)?.update;
    let (_, Purpose::Forward { wave }) = update.campaign? else {
        return None;
    };
    Some(Passed::new(update.device, wave, PassedOver::Pinned))
}

/// What devices had before the campaign, where the server has it. What it did not bring itself is the firmware of the same
/// name, of the version that was there, for the device's model: another product is nothing to go back to.
struct Before {
    by_version: HashMap<Formerly, FirmwareId>,
    versions: BTreeMap<FirmwareId, String>,
}

/// A version that a device had, and the device's model.
type Formerly = (String, Option<String>);

impl Before {
    async fn find(
        tx: &mut Tx,
        run: RunRef,
        ledger: &Ledger,
        updates: &BTreeSet<UpdateId>,
    ) -> Result<Self, StoreError> {
        let updates = || {
            updates
                .iter()
                .filter_map(|id| Some(&ledger.entry(*id)?.update))
        };
        let unknown: BTreeSet<Formerly> = updates()
            .filter(|update| update.from_firmware.is_none())
            .filter_map(|update| formerly(update, ledger.device(update.device)?))
            .collect();
        let mut by_version = HashMap::new();
        if !unknown.is_empty() {
            let name = firmware_name(tx, run).await?;
            for (version, model) in unknown {
                let of_model = model.as_deref();
                let id = id_by_version(tx, run.tenant, &name, &version, of_model).await?;
                by_version.extend(id.map(|id| ((version, model), id)));
            }
        }
        let known = updates().filter_map(|update| update.from_firmware);
        let wanted: BTreeSet<FirmwareId> = by_version.values().copied().chain(known).collect();
        let versions = versions(tx, run, &wanted).await?;
        Ok(Self {
            by_version,
            versions,
        })
    }

    fn of(&self, update: &Update, device: &DeviceRow) -> Option<FirmwareId> {
        let by_version = || self.by_version.get(&formerly(update, device)?).copied();
        update.from_firmware.or_else(by_version)
    }

    fn offer(
        &self,
        run: RunRef,
        device: DeviceKey,
        firmware: FirmwareId,
        offer: &Offer,
    ) -> NewUpdate {
        NewUpdate {
            device,
            firmware,
            campaign: Some((run.campaign, Purpose::Return)),
            weight: offer.weight,
            to_version: self.versions.get(&firmware).cloned().unwrap_or_default(),
            progress: Progress::offered(offer.proof, offer.terms.clone(), offer.now),
            created_at: offer.now,
            attempt: Try::default(),
        }
    }
}

fn formerly(update: &Update, device: &DeviceRow) -> Option<Formerly> {
    Some((update.from_version.clone()?, device.hw_model.clone()))
}

async fn firmware_name(tx: &mut Tx, run: RunRef) -> Result<String, StoreError> {
    let row = sqlx::query(
        "SELECT f.name FROM campaigns c JOIN firmware f ON f.tenant_id = c.tenant_id AND f.id = c.firmware_id \
         WHERE c.tenant_id = $1 AND c.id = $2",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(SEND_BACK))?;
    row.take("name").map_err(bad_row(SEND_BACK))
}

async fn versions(
    tx: &mut Tx,
    run: RunRef,
    wanted: &BTreeSet<FirmwareId>,
) -> Result<BTreeMap<FirmwareId, String>, StoreError> {
    let ids: Vec<i64> = wanted.iter().map(|id| id.0).collect();
    let which = tx.dialect().among("id", "$2");
    let sql = format!("SELECT id, version FROM firmware WHERE tenant_id = $1 AND {which}");
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(run.tenant.0)
        .bind(to_json(&ids)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(SEND_BACK))?;
    rows.iter()
        .map(|row| Ok::<_, BadRow>((FirmwareId(row.take("id")?), row.take("version")?)))
        .collect::<Result<_, _>>()
        .map_err(bad_row(SEND_BACK))
}
