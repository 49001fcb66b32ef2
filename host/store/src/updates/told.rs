use std::{collections::BTreeSet, time::Duration};

use tidegate_core::{
    id::{CampaignId, FirmwareId, UpdateId},
    update::{Event, Progress, Proof, Terms, Try, UpdateStatus},
};
use tidegate_engine::ports::{InstalledReport, RecordError, Recorded, StoreError, Told};

use super::{
    ledger::{Ledger, NewUpdate, done_at_once},
    record::{Moved, Outcome, of_one},
};
use crate::{
    changes::announce,
    database::{Database, Tx},
    dialect::storable,
    error::{failed, internal},
    rows::{Columns as _, bad_row},
    tallies::Tallies,
};

/// Records what a device says that it has installed. Devices say it once after they were made or set up anew, so it is
/// a transaction of its own.
pub(super) async fn record(
    database: &Database,
    report: &InstalledReport,
) -> Result<Told, RecordError> {
    let (tenant, key) = (report.tenant, report.device);
    let mut tx = database.write().await?;
    let firmware = find(&mut tx, report).await?;
    let firmware = firmware.ok_or(RecordError::NotFound)?;
    let devices = BTreeSet::from([key]);
    let mut ledger = Ledger::open(&mut tx, tenant, &devices, &BTreeSet::new(), report.at).await?;
    let device = ledger.device(key).ok_or(RecordError::NotFound)?;
    let brought = device.installed_update;
    let brought = brought.filter(|_| device.installed_firmware == Some(firmware));
    let is_elsewhere = device.drifted_at.is_some();
    let mut tallies = Tallies::default();
    let mut is_new = false;
    let mut moved = Moved::new();
    if is_busy(&ledger, report) {
        moved = prove(&mut ledger, report, firmware, &mut tallies)?;
    } else if brought.is_none() || is_elsewhere {
        let update = made(report, firmware);
        let made = ledger.make(&mut tx, vec![update], &mut tallies).await?;
        let id = made.get(&key).ok_or_else(|| {
            internal("record what is installed")("the update was not made".into())
        })?;
        ledger.has_installed(*id);
        is_new = brought.is_none();
    }
    let view = ledger.view(key).ok_or(RecordError::NotFound)?;
    let changes_device = ledger.changes_device(key);
    if let Some(row) = ledger.device(key) {
        announce(&mut tx, tenant, [row.device_id.as_str()]).await?;
    }
    ledger.write(&mut tx, &mut tallies).await?;
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    let recorded = Recorded {
        moved: !moved.is_empty(),
        campaigns: moved.into_iter().flatten().collect(),
        view,
        changes_device,
    };
    Ok(Told { is_new, recorded })
}

fn is_busy(ledger: &Ledger, report: &InstalledReport) -> bool {
    let mut updates = ledger.of_device(report.device);
    updates.any(|entry| entry.update.progress.status.is_open())
}

/// What a device has is proof for the update that brought it, and for no other.
fn prove(
    ledger: &mut Ledger,
    report: &InstalledReport,
    firmware: FirmwareId,
    tallies: &mut Tallies,
) -> Outcome {
    let waiting: Option<(UpdateId, Option<CampaignId>)> = ledger
        .of_device(report.device)
        .map(|entry| &entry.update)
        .find(|update| {
            update.progress.status == UpdateStatus::Verifying && update.firmware == firmware
        })
        .map(|update| (update.id, update.campaign.map(|(campaign, _)| campaign)));
    let Some((id, campaign)) = waiting else {
        return Ok(Moved::new());
    };
    let event = Event::VersionReported { is_target: true };
    let moved = ledger.step(id, &event, report.at, tallies)?;
    Ok(of_one(moved, campaign))
}

/// An update that is over as it begins.
fn made(report: &InstalledReport, firmware: FirmwareId) -> NewUpdate {
    let progress = Progress::offered(Proof::Reported, Terms::forced(Duration::ZERO), report.at);
    NewUpdate {
        device: report.device,
        firmware,
        campaign: None,
        weight: 0,
        to_version: report.version.clone(),
        progress: done_at_once(progress, report.at),
        created_at: report.at,
        attempt: Try::default(),
    }
}

/// The firmware of this name and version: the one for the device's own model before the one for any. A device that has not
/// said what it is may have one for any model; one that has said so has none that is for another.
async fn find(tx: &mut Tx, report: &InstalledReport) -> Result<Option<FirmwareId>, StoreError> {
    let row = sqlx::query(
        "SELECT f.id FROM firmware f JOIN devices d ON d.tenant_id = f.tenant_id AND d.id = $4 \
         WHERE f.tenant_id = $1 AND f.name = $2 AND f.version = $3 AND f.deleted_at IS NULL \
         AND (f.device_model IS NULL OR d.hw_model IS NULL OR f.device_model = d.hw_model) \
         ORDER BY CASE WHEN f.device_model = d.hw_model THEN 0 WHEN f.device_model IS NULL THEN 1 ELSE 2 END, \
         f.id DESC LIMIT 1",
    )
    .bind(report.tenant.0)
    .bind(storable(&report.name).into_owned())
    .bind(storable(&report.version).into_owned())
    .bind(report.device.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed("look for what is installed"))?;
    row.map(|row| row.take("id").map(FirmwareId))
        .transpose()
        .map_err(bad_row("read firmware row"))
}
