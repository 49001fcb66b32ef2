use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::AssertSqlSafe;
use tidegate_core::{
    id::{DeviceKey, FirmwareId, UpdateId},
    mode::SkipReason,
    plugin::RollbackScope,
    rollback::{self, EndedUpdate, RollbackAction, RollbackPosition},
    time::Timestamp,
    update::{Attempt, CompatibilityBasis, Purpose, Update, UpdateState},
};
use tidegate_engine::ports::{Fence, Offer, RollbackBatch, RunRef, StoreError};

use super::{
    cancel::forward_updates,
    commit::commit,
    installed_classes::InstalledClasses,
    lease::lock_if_fenced,
    skipped::{self, SkippedDevice},
};
use crate::{
    database::{Database, Tx},
    error::failed,
    firmware::id_by_version,
    rows::{RowError, RowExt as _, row_error, to_json},
    tenant_counters::TenantCounters,
    updates::unit_of_work::{DeviceRow, NewUpdate, UpdateUnitOfWork},
};

const ROLL_BACK: &str = "roll back devices";

/// Processes up to `limit` ended updates of the campaign's waves from the rollback backlog, and creates rollback
/// updates where needed. Does nothing under a lost fence.
pub(crate) async fn roll_back(
    database: &Database,
    run: RunRef,
    fence: Fence,
    scope: RollbackScope,
    limit: u32,
    offer: &Offer,
) -> Result<RollbackBatch, StoreError> {
    let mut tx = database.write().await?;
    let Some(run_row) = lock_if_fenced(&mut tx, run, fence).await? else {
        return Ok(RollbackBatch::default());
    };
    let since = run_row.rollback_since()?;
    let pending = forward_updates(
        &mut tx,
        run,
        "completed_at IS NOT NULL AND rollback_processed_at IS NULL",
        limit,
        ROLL_BACK,
    )
    .await?;
    if pending.is_empty() {
        return Ok(RollbackBatch::default());
    }
    let devices: BTreeSet<DeviceKey> = pending.iter().map(|(_, device)| *device).collect();
    let updates: BTreeSet<UpdateId> = pending.iter().map(|(id, _)| *id).collect();
    let mut work =
        UpdateUnitOfWork::open(&mut tx, run.tenant, &devices, &updates, offer.now).await?;
    let previous = PreviousFirmware::load(&mut tx, run, &work, &updates).await?;
    let installed = InstalledClasses::load(&mut tx, run, &devices, previous.ids()).await?;
    let (mut new, mut pinned) = (Vec::new(), Vec::new());
    for (id, device) in &pending {
        let action = match (work.loaded(*id), work.device(*device)) {
            // A late success has opened it since it was read.
            (Some(loaded), _) if !loaded.is_in_rollback_backlog() => continue,
            (Some(loaded), Some(device)) => {
                decide(&loaded.update, device, &work, &previous, (scope, since))
            }
            _ => RollbackAction::NotNeeded,
        };
        work.mark_rollback_processed(run.campaign, *id, action);
        match action {
            RollbackAction::Install(firmware) => {
                let forward = work.loaded(*id).map(|loaded| &loaded.update);
                let compatibility = installed.basis(*device, firmware, forward);
                new.push(previous.new_update(run, *device, firmware, offer, compatibility));
            }
            RollbackAction::Pinned => pinned.extend(pinned_device(&work, *id)),
            RollbackAction::NotNeeded
            | RollbackAction::Impossible
            | RollbackAction::AlreadyRollingBack(_) => {}
        }
    }
    skipped::insert(&mut tx, run, &pinned, offer.now).await?;
    let mut tenant_counters = TenantCounters::default();
    let devices: Vec<_> = new.iter().map(|new| new.device).collect();
    work.create_updates(&mut tx, new, &mut tenant_counters)
        .await?;
    let affected = commit(tx, run, work, tenant_counters, devices).await?;
    Ok(RollbackBatch {
        processed: pending.len() as u64,
        affected,
    })
}

fn decide(
    update: &Update,
    device: &DeviceRow,
    work: &UpdateUnitOfWork,
    previous: &PreviousFirmware,
    (scope, since): (RollbackScope, Option<Timestamp>),
) -> RollbackAction {
    let position = RollbackPosition {
        installed: device.installed_update,
        reported_version: device.sw_version.as_deref(),
        is_pinned: device.pinned,
        updates: work
            .updates_of(update.device)
            .map(|loaded| &loaded.update)
            .collect(),
    };
    let before = previous.firmware_for(update, device);
    let ended = EndedUpdate::of(update, before, since, &position);
    ended.map_or(RollbackAction::NotNeeded, |ended| {
        rollback::rollback_action(&ended, scope)
    })
}

/// A pinned device, which the rollback skips.
fn pinned_device(work: &UpdateUnitOfWork, id: UpdateId) -> Option<SkippedDevice> {
    let update = &work.loaded(id)?.update;
    let (_, Purpose::Forward { wave }) = update.campaign? else {
        return None;
    };
    Some(SkippedDevice::new(update.device, wave, SkipReason::Pinned))
}

/// The firmware that devices had before the campaign. If the server did not install it, it is the firmware of the
/// same name, of the version that the device reported, and for the device's model.
struct PreviousFirmware {
    by_version: HashMap<PreviousVersion, FirmwareId>,
    versions: BTreeMap<FirmwareId, String>,
}

/// A version and the device model.
type PreviousVersion = (String, Option<String>);

impl PreviousFirmware {
    async fn load(
        tx: &mut Tx,
        run: RunRef,
        work: &UpdateUnitOfWork,
        updates: &BTreeSet<UpdateId>,
    ) -> Result<Self, StoreError> {
        let updates = || {
            updates
                .iter()
                .filter_map(|id| Some(&work.loaded(*id)?.update))
        };
        let unknown: BTreeSet<PreviousVersion> = updates()
            .filter(|update| update.from_firmware.is_none())
            .filter_map(|update| previous_version(update, work.device(update.device)?))
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
        let firmware_ids: BTreeSet<FirmwareId> =
            by_version.values().copied().chain(known).collect();
        let versions = versions(tx, run, &firmware_ids).await?;
        Ok(Self {
            by_version,
            versions,
        })
    }

    /// All firmware that devices may return to.
    fn ids(&self) -> impl Iterator<Item = FirmwareId> {
        self.versions.keys().copied()
    }

    fn firmware_for(&self, update: &Update, device: &DeviceRow) -> Option<FirmwareId> {
        let by_version = || {
            self.by_version
                .get(&previous_version(update, device)?)
                .copied()
        };
        update.from_firmware.or_else(by_version)
    }

    fn new_update(
        &self,
        run: RunRef,
        device: DeviceKey,
        firmware: FirmwareId,
        offer: &Offer,
        compatibility: Option<CompatibilityBasis>,
    ) -> NewUpdate {
        NewUpdate {
            device,
            firmware,
            campaign: Some((run.campaign, Purpose::Rollback)),
            weight: offer.weight,
            to_version: self.versions.get(&firmware).cloned().unwrap_or_default(),
            state: UpdateState::offered(offer.success_criteria, offer.options.clone(), offer.now),
            created_at: offer.now,
            attempt: Attempt::default(),
            compatibility,
            authorship: None,
        }
    }
}

fn previous_version(update: &Update, device: &DeviceRow) -> Option<PreviousVersion> {
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
    .map_err(failed(ROLL_BACK))?;
    row.take("name").map_err(row_error(ROLL_BACK))
}

async fn versions(
    tx: &mut Tx,
    run: RunRef,
    firmware_ids: &BTreeSet<FirmwareId>,
) -> Result<BTreeMap<FirmwareId, String>, StoreError> {
    let ids: Vec<i64> = firmware_ids.iter().map(|id| id.0).collect();
    let which = tx.dialect().key_in_json("id", "$2");
    let sql = format!("SELECT id, version FROM firmware WHERE tenant_id = $1 AND {which}");
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(run.tenant.0)
        .bind(to_json(&ids)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(ROLL_BACK))?;
    rows.iter()
        .map(|row| Ok::<_, RowError>((FirmwareId(row.take("id")?), row.take("version")?)))
        .collect::<Result<_, _>>()
        .map_err(row_error(ROLL_BACK))
}
