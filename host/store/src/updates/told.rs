use std::{collections::BTreeSet, time::Duration};

use sqlx::any::AnyRow;
use tidegate_core::{
    id::{CampaignId, DeviceKey, FirmwareId, UpdateId},
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
    rows::{BadRow, Columns as _, bad_row},
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
    let candidates = candidates(&mut tx, report).await?;
    if candidates.is_empty() {
        return Err(RecordError::NotFound);
    }
    let devices = BTreeSet::from([key]);
    let mut ledger = Ledger::open(&mut tx, tenant, &devices, &BTreeSet::new(), report.at).await?;
    let device = ledger.device(key).ok_or(RecordError::NotFound)?;
    let firmware = its_own(&candidates, &ledger, key).ok_or(RecordError::NotFound)?;
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

/// A firmware of the name and version that the device tells.
struct Candidate {
    firmware: FirmwareId,
    model: Option<String>,
}

/// Which of them the device has: the one for its own model, else the one for any. A device that has not said what it is
/// has the only one there is, or of several the one that it was brought from here; there is no further guess.
fn its_own(candidates: &[Candidate], ledger: &Ledger, key: DeviceKey) -> Option<FirmwareId> {
    let device = ledger.device(key)?;
    let was_brought = |firmware| {
        let mut updates = ledger.of_device(key).map(|entry| &entry.update);
        device.installed_firmware == Some(firmware) || updates.any(|it| it.firmware == firmware)
    };
    let of_model = |model| candidates.iter().find(|it| it.model.as_deref() == model);
    let found = match (device.hw_model.as_deref(), candidates) {
        (Some(model), _) => of_model(Some(model)).or_else(|| of_model(None)),
        (None, [only]) => Some(only),
        (None, several) => several.iter().find(|it| was_brought(it.firmware)),
    };
    found.map(|it| it.firmware)
}

/// At most one for each model, and one for any.
async fn candidates(tx: &mut Tx, report: &InstalledReport) -> Result<Vec<Candidate>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, device_model FROM firmware \
         WHERE tenant_id = $1 AND name = $2 AND version = $3 AND deleted_at IS NULL ORDER BY id DESC",
    )
    .bind(report.tenant.0)
    .bind(storable(&report.name).into_owned())
    .bind(storable(&report.version).into_owned())
    .fetch_all(tx.conn())
    .await
    .map_err(failed("look for what is installed"))?;
    let read = |row: &AnyRow| {
        Ok::<_, BadRow>(Candidate {
            firmware: FirmwareId(row.take("id")?),
            model: row.take("device_model")?,
        })
    };
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(bad_row("read firmware row"))
}
