use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use tidegate_core::{
    id::{DeviceKey, TenantId, UpdateId},
    time::Timestamp,
    update::{Event, Progress, Try, UpdateStatus},
    wave::Counts,
};
use tidegate_engine::ports::{CalledBack, Made, Offer, Past, SingleUpdates, StoreError, Touched};

use super::ledger::{Ledger, NewUpdate, announce_touched};
use crate::{
    SqlStore,
    campaigns::hold_firmware,
    database::{Database, Tx},
    error::{failed, internal},
    rows::{BadRow, Columns as _, bad_row},
    tallies::Tallies,
};

#[async_trait]
impl SingleUpdates for SqlStore {
    async fn create_updates(
        &self,
        tenant: TenantId,
        devices: &[DeviceKey],
        offer: &Offer,
        force: bool,
    ) -> Result<Vec<Made>, StoreError> {
        create(&self.database, tenant, devices, offer, force).await
    }

    async fn bring_back(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        offer: &Offer,
        past: Past,
    ) -> Result<(Made, CalledBack), StoreError> {
        bring_back(&self.database, tenant, device, offer, past).await
    }

    async fn totals(&self, tenant: TenantId, device: DeviceKey) -> Result<Counts, StoreError> {
        totals(&mut self.database.once().await?, tenant, device).await
    }
}

async fn create(
    database: &Database,
    tenant: TenantId,
    devices: &[DeviceKey],
    offer: &Offer,
    force: bool,
) -> Result<Vec<Made>, StoreError> {
    let past = Past {
        pin: force,
        installed: force,
    };
    let mut tx = database.write().await?;
    hold_firmware(&mut tx, tenant, offer.firmware).await?;
    let keys: BTreeSet<DeviceKey> = devices.iter().copied().collect();
    let mut ledger = Ledger::open(&mut tx, tenant, &keys, &BTreeSet::new(), offer.now).await?;
    let mut tallies = Tallies::default();
    let obstacles: HashMap<_, _> = keys
        .iter()
        .filter_map(|key| Some((*key, obstacle(&ledger, *key, offer, past)?)))
        .collect();
    let new = keys
        .iter()
        .filter(|key| !obstacles.contains_key(key))
        .map(|key| offered(*key, offer));
    let made = ledger.make(&mut tx, new.collect(), &mut tallies).await?;
    let touched = touched(&mut tx, &ledger, &made).await?;
    ledger.write(&mut tx, &mut tallies).await?;
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    let said = |key| match (obstacles.get(key), made.get(key), touched.get(key)) {
        (Some(obstacle), ..) => Ok(obstacle.clone()),
        (None, Some(id), Some(touched)) => Ok(Made::Update(*id, touched.clone())),
        _ => Err(internal("make updates")(
            format!("device {key} has got none").into(),
        )),
    };
    devices.iter().map(said).collect()
}

async fn bring_back(
    database: &Database,
    tenant: TenantId,
    key: DeviceKey,
    offer: &Offer,
    past: Past,
) -> Result<(Made, CalledBack), StoreError> {
    let mut tx = database.write().await?;
    hold_firmware(&mut tx, tenant, offer.firmware).await?;
    let (keys, none) = (BTreeSet::from([key]), BTreeSet::new());
    let mut ledger = Ledger::open(&mut tx, tenant, &keys, &none, offer.now).await?;
    if let Some(obstacle) = obstacle(&ledger, key, offer, past) {
        return Ok((obstacle, CalledBack::new()));
    }
    let mut tallies = Tallies::default();
    let called_back = call_back(&mut ledger, key, offer.now, &mut tallies);
    let new = vec![offered(key, offer)];
    let made = ledger.make(&mut tx, new, &mut tallies).await?;
    let touched = touched(&mut tx, &ledger, &made).await?;
    let (Some(id), Some(touched)) = (made.get(&key), touched.get(&key)) else {
        let error = format!("device {key} has got none");
        return Err(internal("make updates")(error.into()));
    };
    let made = Made::Update(*id, touched.clone());
    ledger.write(&mut tx, &mut tallies).await?;
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    Ok((made, called_back))
}

/// Calls back whatever is open for the device.
fn call_back(
    ledger: &mut Ledger,
    key: DeviceKey,
    now: Timestamp,
    tallies: &mut Tallies,
) -> CalledBack {
    let open: CalledBack = ledger
        .of_device(key)
        .map(|entry| &entry.update)
        .filter(|update| update.progress.status.is_open())
        .map(|update| (update.id, update.campaign.map(|(campaign, _)| campaign)))
        .collect();
    for (id, _) in &open {
        // All of these are open, and such are called back whatever their state.
        let _ = ledger.step(*id, &Event::CancelRequested, now, tallies);
        let status = ledger.entry(*id).map(|entry| entry.update.progress.status);
        if status == Some(UpdateStatus::Verifying) {
            // What is gone again is not proven any more, and must not be tried again.
            let _ = ledger.step(*id, &Event::Quit, now, tallies);
        }
    }
    open
}

fn obstacle(ledger: &Ledger, key: DeviceKey, offer: &Offer, past: Past) -> Option<Made> {
    let Some(device) = ledger.device(key) else {
        return Some(Made::NoDevice);
    };
    let mut open = ledger
        .of_device(key)
        .map(|entry| &entry.update)
        .filter(|update| update.progress.status.is_open());
    if let Some(same) = open.find(|update| update.firmware == offer.firmware) {
        return Some(Made::AlreadyOpen(same.id));
    }
    if device.pinned && !past.pin {
        return Some(Made::Pinned);
    }
    let has_it = device.installed_firmware == Some(offer.firmware);
    (has_it && !past.installed).then_some(Made::AlreadyInstalled)
}

fn offered(device: DeviceKey, offer: &Offer) -> NewUpdate {
    NewUpdate {
        device,
        firmware: offer.firmware,
        campaign: None,
        weight: offer.weight,
        to_version: offer.to_version.clone(),
        progress: Progress::offered(offer.proof, offer.terms.clone(), offer.now),
        created_at: offer.now,
        attempt: Try::default(),
    }
}

async fn touched(
    tx: &mut Tx,
    ledger: &Ledger,
    made: &HashMap<DeviceKey, UpdateId>,
) -> Result<HashMap<DeviceKey, Touched>, StoreError> {
    let touched: Vec<_> = made
        .keys()
        .filter_map(|key| ledger.touched(*key, None))
        .collect();
    announce_touched(tx, &touched).await?;
    Ok(touched
        .into_iter()
        .map(|touched| (touched.device, touched))
        .collect())
}

async fn totals(tx: &mut Tx, tenant: TenantId, device: DeviceKey) -> Result<Counts, StoreError> {
    const COUNT: &str = "count updates of a device";
    let rows = sqlx::query(
        "SELECT status, COUNT(*) AS n FROM updates \
         WHERE tenant_id = $1 AND device_id = $2 AND is_retried = 0 GROUP BY status",
    )
    .bind(tenant.0)
    .bind(device.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(COUNT))?;
    let mut counts = Counts::default();
    for row in &rows {
        let read = || Ok::<_, BadRow>((row.word("status", UpdateStatus::parse)?, row.count("n")?));
        let (status, n) = read().map_err(bad_row(COUNT))?;
        *counts.slot(status.bucket()) += n;
    }
    Ok(counts)
}
