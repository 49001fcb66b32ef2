use std::{collections::BTreeMap, time::Duration};

use sqlx::any::AnyRow;
use tidegate_core::{
    id::{CampaignId, DeviceKey, FirmwareId, TenantId, UpdateId},
    update::{Attempt, SuccessCriteria, UpdateEvent, UpdateOptions, UpdateState, UpdateStatus},
};
use tidegate_engine::ports::{DeviceReport, RecordError, ReportedFirmware, StoreError};

use super::{
    effects::{Effects, RecordOutcome},
    rollback_backlog,
    unit_of_work::{NewUpdate, UpdateUnitOfWork, completed_at_creation},
};
use crate::{
    database::Tx,
    dialect::storable,
    error::{failed, internal},
    rows::{RowError, RowExt as _, row_error},
    tenant_counters::TenantCounters,
};

/// Maximum number of installations that are recorded for a device; the newest ones are kept.
const MAX_INSTALLATIONS: i64 = 100;
const DELETE: &str = "delete recorded installations";

/// Records the firmware that a device reports as installed.
pub(super) async fn record(
    tx: &mut Tx,
    work: &mut UpdateUnitOfWork,
    report: &DeviceReport,
    reported: &ReportedFirmware,
    tenant_counters: &mut TenantCounters,
) -> RecordOutcome {
    let key = report.device;
    let candidates = candidates(tx, report.tenant, reported).await?;
    let device = work.device(key).ok_or(RecordError::NotFound)?;
    let firmware = matching_firmware(&candidates, work, key).ok_or(RecordError::NotFound)?;
    let installed_by = device.installed_update;
    let installed_by = installed_by.filter(|_| device.installed_firmware == Some(firmware));
    let has_drifted = device.drifted_at.is_some();
    if has_open_update(work, report) || has_failed_update(work, key, firmware) {
        return complete_waiting(work, report, firmware, tenant_counters);
    }
    if installed_by.is_some() && !has_drifted {
        return Ok(Effects::default());
    }
    // Before the update below becomes the newest one.
    let versions = BTreeMap::from([(key, reported.version.clone())]);
    rollback_backlog::reopen(tx, report.tenant, work, &versions).await?;
    delete_oldest(tx, report.tenant, key, tenant_counters).await?;
    let update = new_installed_update(report, reported, firmware);
    let created = work
        .create_updates(tx, vec![update], tenant_counters)
        .await?;
    let id = created.get(&key).ok_or_else(|| {
        internal("record installed firmware")("the update was not created".into())
    })?;
    work.mark_installed(*id);
    Ok(Effects {
        is_new_installation: installed_by.is_none(),
        ..Effects::default()
    })
}

fn has_open_update(work: &UpdateUnitOfWork, report: &DeviceReport) -> bool {
    let mut updates = work.updates_of(report.device);
    updates.any(|loaded| loaded.update.state.status.is_open())
}

/// Whether an update of this firmware failed or ended by silence, and the device was offered no later one.
fn has_failed_update(work: &UpdateUnitOfWork, key: DeviceKey, firmware: FirmwareId) -> bool {
    let mut updates = work.completable(key);
    updates.any(|update| update.firmware == firmware && update.state.is_completed_by_version())
}

/// Completes the update of this firmware that is verified, or that failed or ended by silence, if there is one.
fn complete_waiting(
    work: &mut UpdateUnitOfWork,
    report: &DeviceReport,
    firmware: FirmwareId,
    tenant_counters: &mut TenantCounters,
) -> RecordOutcome {
    let waiting: Option<(UpdateId, Option<CampaignId>)> = work
        .completable(report.device)
        .find(|update| {
            let state = &update.state;
            let waits = state.status == UpdateStatus::Verifying || state.is_completed_by_version();
            waits && update.firmware == firmware
        })
        .map(|update| (update.id, update.campaign.map(|(campaign, _)| campaign)));
    let Some((id, campaign)) = waiting else {
        return Ok(Effects::default());
    };
    let event = UpdateEvent::VersionReported { is_target: true };
    let changed = work.apply_event(id, &event, report.at, tenant_counters)?;
    Ok(Effects::of_update(changed, campaign))
}

/// An update that is completed at creation.
fn new_installed_update(
    report: &DeviceReport,
    reported: &ReportedFirmware,
    firmware: FirmwareId,
) -> NewUpdate {
    let state = UpdateState::offered(
        SuccessCriteria::Reported,
        UpdateOptions::forced(Duration::ZERO),
        report.at,
    );
    NewUpdate {
        device: report.device,
        firmware,
        campaign: None,
        weight: 0,
        to_version: reported.version.clone(),
        state: completed_at_creation(state, report.at),
        created_at: report.at,
        attempt: Attempt::default(),
        compatibility: None,
        authorship: None,
    }
}

/// Makes room for another recorded installation: a device that goes back and forth between two versions reports any number
/// of them.
async fn delete_oldest(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
    tenant_counters: &mut TenantCounters,
) -> Result<(), StoreError> {
    // No other update has no time.
    let deleted = sqlx::query(
        "DELETE FROM updates WHERE tenant_id = $1 AND id IN (\
         SELECT u.id FROM updates u WHERE u.tenant_id = $1 AND u.device_key = $2 AND u.campaign_id IS NULL \
         AND u.update_timeout_ms = 0 AND u.completed_at IS NOT NULL ORDER BY u.id DESC LIMIT $3 OFFSET $4) \
         RETURNING status",
    )
    .bind(tenant.0)
    .bind(device.0)
    .bind(MAX_INSTALLATIONS)
    .bind(MAX_INSTALLATIONS - 1)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(DELETE))?;
    for row in &deleted {
        let status = row.parse("status").map_err(row_error(DELETE))?;
        tenant_counters.uncount_status(tenant, status);
    }
    Ok(())
}

/// A firmware of the reported name and version.
struct NamedFirmware {
    firmware: FirmwareId,
    model: Option<String>,
}

/// The firmware that the device has: the one for its model, otherwise the one for any model. A device without a known
/// model gets the only candidate or, of several, one that this server offered it; otherwise none.
fn matching_firmware(
    candidates: &[NamedFirmware],
    work: &UpdateUnitOfWork,
    key: DeviceKey,
) -> Option<FirmwareId> {
    let device = work.device(key)?;
    let was_offered = |firmware| {
        let mut updates = work.updates_of(key).map(|loaded| &loaded.update);
        device.installed_firmware == Some(firmware) || updates.any(|it| it.firmware == firmware)
    };
    let of_model = |model| candidates.iter().find(|it| it.model.as_deref() == model);
    let found = match (device.hw_model.as_deref(), candidates) {
        (Some(model), _) => of_model(Some(model)).or_else(|| of_model(None)),
        (None, [only]) => Some(only),
        (None, several) => several.iter().find(|it| was_offered(it.firmware)),
    };
    found.map(|it| it.firmware)
}

/// At most one for each model, and one for any model.
async fn candidates(
    tx: &mut Tx,
    tenant: TenantId,
    reported: &ReportedFirmware,
) -> Result<Vec<NamedFirmware>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, device_model FROM firmware \
         WHERE tenant_id = $1 AND name = $2 AND version = $3 AND deleted_at IS NULL ORDER BY id DESC",
    )
    .bind(tenant.0)
    .bind(storable(&reported.name).into_owned())
    .bind(storable(&reported.version).into_owned())
    .fetch_all(tx.conn())
    .await
    .map_err(failed("find the installed firmware"))?;
    let read = |row: &AnyRow| {
        Ok::<_, RowError>(NamedFirmware {
            firmware: FirmwareId(row.take("id")?),
            model: row.take("device_model")?,
        })
    };
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(row_error("read firmware row"))
}
