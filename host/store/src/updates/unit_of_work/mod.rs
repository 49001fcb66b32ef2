//! Updates and their devices as one transaction changes them: read and locked once, stepped in memory, written once.
//!
//! This is the one place where an update takes a step, so that everything that follows from it follows always: its
//! device's state and version, the counters of its wave and campaign, and the tenant's tallies.

mod counters;
mod histogram;
mod loaded_device;
mod loaded_update;
mod retries;
mod update_rows;

pub(crate) use histogram::durations;
pub(crate) use loaded_device::DeviceRow;
pub(crate) use loaded_update::{LoadedUpdate, NewUpdate};

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use tidegate_core::{
    device::DeviceState,
    id::{CampaignId, DeviceKey, TenantId, UpdateId},
    rollback::RollbackAction,
    time::Timestamp,
    update::{EventError, Update, UpdateEvent, UpdateState, UpdateStatus},
};
use tidegate_engine::ports::{AffectedDevice, OpenUpdate, PollView, StoreError};

use crate::{
    database::Tx, error::internal, invalidation::notify_devices, latest::mark_dirty,
    tenant_counters::TenantCounters,
};

use counters::CampaignCounters;
use loaded_update::InstalledBefore;

/// Devices of one tenant and their updates: all that are open, and those that were asked for.
#[derive(Debug)]
pub(crate) struct UpdateUnitOfWork {
    tenant: TenantId,
    now: Timestamp,
    devices: BTreeMap<DeviceKey, LoadedDevice>,
    updates: BTreeMap<UpdateId, LoadedUpdate>,
    by_device: HashMap<DeviceKey, Vec<UpdateId>>,
    counters: CampaignCounters,
    /// The next tries of updates that failed: made when everything is written.
    pending_retries: BTreeMap<DeviceKey, Vec<Update>>,
}

#[derive(Debug)]
struct LoadedDevice {
    before: DeviceRow,
    after: DeviceRow,
}

impl UpdateUnitOfWork {
    /// Reads and locks. Devices that are not there are left out.
    pub(crate) async fn open(
        tx: &mut Tx,
        tenant: TenantId,
        devices: &BTreeSet<DeviceKey>,
        updates: &BTreeSet<UpdateId>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let locked = loaded_device::lock(tx, tenant, devices).await?;
        let updates = loaded_update::read(tx, tenant, locked.keys().copied(), updates).await?;
        let devices = locked.into_iter().map(|(key, before)| {
            let after = before.clone();
            (key, LoadedDevice { before, after })
        });
        let mut work = Self {
            tenant,
            now,
            devices: devices.collect(),
            updates: BTreeMap::new(),
            by_device: HashMap::new(),
            counters: CampaignCounters::default(),
            pending_retries: BTreeMap::new(),
        };
        for loaded in updates {
            work.add_update(loaded);
        }
        Ok(work)
    }

    fn add_update(&mut self, loaded: LoadedUpdate) {
        let (id, device) = (loaded.update.id, loaded.update.device);
        self.by_device.entry(device).or_default().push(id);
        self.updates.insert(id, loaded);
    }

    pub(crate) fn device(&self, key: DeviceKey) -> Option<&DeviceRow> {
        self.devices.get(&key).map(|loaded| &loaded.after)
    }

    pub(crate) fn device_mut(&mut self, key: DeviceKey) -> Option<&mut DeviceRow> {
        self.devices.get_mut(&key).map(|loaded| &mut loaded.after)
    }

    pub(crate) fn loaded(&self, id: UpdateId) -> Option<&LoadedUpdate> {
        self.updates.get(&id)
    }

    /// Takes numbers for new lines of an update's log; answers the first one. 0: there are no lines.
    pub(crate) fn add_lines(&mut self, id: UpdateId, lines: usize) -> Option<u64> {
        if lines == 0 {
            return self.loaded(id).map(|_| 0);
        }
        let loaded = self.loaded_mut(id)?;
        let first = loaded.log_lines + 1;
        loaded.log_lines += lines as u64;
        Some(first)
    }

    /// For what is no step: the loaded is written.
    pub(crate) fn loaded_mut(&mut self, id: UpdateId) -> Option<&mut LoadedUpdate> {
        let loaded = self.updates.get_mut(&id)?;
        loaded.changed = true;
        Some(loaded)
    }

    /// The updates of a device that are known here.
    pub(crate) fn updates_of(&self, key: DeviceKey) -> impl Iterator<Item = &LoadedUpdate> {
        let ids = self.by_device.get(&key).into_iter().flatten();
        ids.filter_map(|id| self.updates.get(id))
    }

    /// What the event makes of the update, and all that follows. False: nothing, or there is no such update here.
    pub(crate) fn step(
        &mut self,
        id: UpdateId,
        event: &UpdateEvent,
        at: Timestamp,
        tenant_counters: &mut TenantCounters,
    ) -> Result<bool, EventError> {
        let Some(loaded) = self.updates.get_mut(&id) else {
            return Ok(false);
        };
        let before = loaded.update.state.status;
        let after = loaded.update.state.clone().after(event, at)?;
        if after.differs_only_in_report(&loaded.update.state) {
            loaded.changed |= after != loaded.update.state;
            loaded.update.state = after;
            return Ok(false);
        }
        if before != UpdateStatus::Cancelling && after.status == UpdateStatus::Cancelling {
            loaded.cancel_requests += 1;
        }
        loaded.update.state = after;
        // That the device looks is noted after it is answered, and is no news for it.
        if *event != UpdateEvent::Retrieved {
            loaded.revision = loaded.revision.wrapping_add(1);
        }
        loaded.changed = true;
        let next = loaded.next_retry(before, at);
        let update = loaded.update.clone();
        if let Some(next) = next {
            self.pending_retries
                .entry(update.device)
                .or_default()
                .push(next);
        }
        self.apply_effects(&update, Some(before), at, tenant_counters);
        Ok(true)
    }

    /// Makes updates, offered or completed at once, for devices that are here; answers the id of each.
    pub(crate) async fn create_updates(
        &mut self,
        tx: &mut Tx,
        new: Vec<NewUpdate>,
        tenant_counters: &mut TenantCounters,
    ) -> Result<HashMap<DeviceKey, UpdateId>, StoreError> {
        let mut rows = Vec::with_capacity(new.len());
        for mut new in new {
            let device = self.device(new.device).cloned();
            let device = device.ok_or_else(|| {
                internal("make updates")(format!("device {} is not locked", new.device).into())
            })?;
            if device.auto_confirms {
                let agreed = new.state.after(&UpdateEvent::AutoConfirmed, new.created_at);
                new.state = agreed.map_err(|error| internal("make updates")(error.into()))?;
            }
            let from = InstalledBefore {
                version: device.sw_version,
                firmware: device.installed_firmware,
            };
            rows.push((new, from));
        }
        if rows.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: HashMap<_, _> = loaded_update::insert(tx, self.tenant, &rows)
            .await?
            .into_iter()
            .collect();
        for (new, from) in rows {
            let Some(id) = ids.get(&new.device) else {
                continue;
            };
            let update = Update {
                id: *id,
                tenant: self.tenant,
                device: new.device,
                firmware: new.firmware,
                campaign: new.campaign,
                weight: new.weight,
                state: new.state,
                from_version: from.version,
                to_version: new.to_version,
                from_firmware: from.firmware,
                created_at: new.created_at,
                attempt: new.attempt,
            };
            self.add_update(LoadedUpdate {
                update: update.clone(),
                revision: 0,
                feedback_count: 0,
                log_lines: 0,
                cancel_requests: 0,
                cancel_requested_at: None,
                rollback_processed_at: None,
                changed: false,
            });
            self.apply_effects(&update, None, new.created_at, tenant_counters);
        }
        Ok(ids)
    }

    /// Everything that follows when an update was made (no `before`) or took a step.
    fn apply_effects(
        &mut self,
        update: &Update,
        before: Option<UpdateStatus>,
        at: Timestamp,
        tenant_counters: &mut TenantCounters,
    ) {
        self.counters.count_update(update, before);
        let after = update.state.status;
        if update.attempt.is_retried {
            tenant_counters.count_retried_update(self.tenant, before, after, at);
        } else {
            tenant_counters.count_update(self.tenant, before, after, at);
        }
        let waits = self.pending_retries.contains_key(&update.device)
            || self
                .updates_of(update.device)
                .any(|loaded| loaded.update.state.status.is_open());
        let Some(loaded) = self.devices.get_mut(&update.device) else {
            return;
        };
        let device = &mut loaded.after;
        // What was there already when the update was made changes nothing on the device.
        let has_it = before.is_some() && update.state.status == UpdateStatus::Completed;
        if has_it && update.state.options.update_type.installs() {
            device.set_installed(update);
        }
        device.wants_attributes |= has_it;
        // The proof is asked for: a device that reported its version too early would else stay silent about it.
        device.wants_attributes |= update.state.needs_version_report(at);
        device.state = match update.state.status {
            _ if waits => DeviceState::Pending,
            UpdateStatus::Completed => DeviceState::InSync,
            UpdateStatus::Failed | UpdateStatus::TimedOut => DeviceState::Error,
            _ if device.installed_update.is_some() => DeviceState::InSync,
            _ => DeviceState::Registered,
        };
    }

    /// The device has what this update brings, of which it is not known yet.
    pub(crate) fn mark_installed(&mut self, id: UpdateId) {
        let Some(update) = self.updates.get(&id).map(|loaded| &loaded.update) else {
            return;
        };
        if let Some(loaded) = self.devices.get_mut(&update.device) {
            loaded.after.set_installed(update);
        }
    }

    /// What polls of a device are to be answered from now on: the rule of `devices/poll_view.rs`, in memory.
    pub(crate) fn view(&self, key: DeviceKey) -> Option<PollView> {
        let device = self.device(key)?;
        let shown = self
            .updates_of(key)
            .filter(|loaded| loaded.update.state.status.is_offered_to_device())
            .max_by_key(|loaded| (loaded.update.weight, Reverse(loaded.update.id)));
        Some(PollView {
            device: key,
            token_sha256: device.token_sha256,
            old_token: device.old_token.clone(),
            wants_attributes: device.wants_attributes,
            is_unseen: device.state == DeviceState::Unknown,
            open: shown.map(|loaded| OpenUpdate {
                id: loaded.update.id,
                status: loaded.update.state.status,
                revision: loaded.revision,
                forced_at: loaded.update.state.options.update_type.forced_at(),
                window: loaded.update.state.options.window.clone(),
            }),
            installed: device.installed_update,
            polling_seconds: device.polling_seconds,
        })
    }

    /// Whether a selector could tell a device from what it was before this transaction, its attributes aside.
    pub(crate) fn changes_device(&self, key: DeviceKey) -> bool {
        let loaded = self.devices.get(&key);
        loaded.is_none_or(|loaded| !loaded.before.same_to_selectors(&loaded.after))
    }

    /// So many devices of a wave were admitted, and so many of them are not there any more or were passed over.
    pub(crate) fn count_admitted(
        &mut self,
        campaign: CampaignId,
        wave: u32,
        devices: u64,
        gone: u64,
    ) {
        self.counters.count_admitted(campaign, wave, devices, gone);
    }

    /// A device of a wave that was passed over is admitted after all.
    pub(crate) fn count_readmitted(&mut self, campaign: CampaignId, wave: u32) {
        self.counters.count_readmitted(campaign, wave);
    }

    /// A rollback has dealt with this ended update.
    pub(crate) fn mark_rollback_processed(
        &mut self,
        campaign: CampaignId,
        id: UpdateId,
        decided: RollbackAction,
    ) {
        let now = self.now;
        if let Some(loaded) = self.loaded_mut(id)
            && loaded.rollback_processed_at.is_none()
        {
            loaded.rollback_processed_at = Some(now);
            self.counters.mark_rollback_processed(campaign, decided);
        }
    }

    /// A device is about to be deleted: it is counted no more, and not written.
    pub(crate) fn remove_device(&mut self, key: DeviceKey, tenant_counters: &mut TenantCounters) {
        if let Some(loaded) = self.devices.remove(&key) {
            tenant_counters.uncount_device(self.tenant, &loaded.before.traits());
        }
    }

    /// Who is to be told that a device's updates changed.
    pub(crate) fn affected(
        &self,
        key: DeviceKey,
        campaign: Option<CampaignId>,
    ) -> Option<AffectedDevice> {
        Some(AffectedDevice {
            tenant: self.tenant,
            device: key,
            device_id: self.device(key)?.device_id.clone(),
            campaign,
        })
    }

    /// Writes everything that changed, but for the tallies: they come last in the transaction.
    pub(crate) async fn write(
        self,
        tx: &mut Tx,
        tenant_counters: &mut TenantCounters,
    ) -> Result<(), StoreError> {
        let changed = self.updates.values().filter(|loaded| loaded.changed);
        loaded_update::write(tx, self.tenant, changed).await?;
        retries::insert(
            tx,
            self.tenant,
            self.pending_retries.into_values().flatten(),
        )
        .await?;
        let changed: Vec<_> = self
            .devices
            .iter()
            .filter(|(_, loaded)| loaded.before != loaded.after)
            .map(|(key, loaded)| (*key, &loaded.before, &loaded.after))
            .collect();
        loaded_device::write(tx, self.tenant, &changed, tenant_counters).await?;
        if changed.iter().any(|(_, was, now)| now.may_need_latest(was)) {
            mark_dirty(tx, self.tenant).await?;
        }
        self.counters.write(tx, self.tenant, self.now).await
    }
}

/// An update that is done as it is made: the device has the firmware.
pub(crate) fn completed_at_creation(offered: UpdateState, now: Timestamp) -> UpdateState {
    UpdateState {
        status: UpdateStatus::Completed,
        started_at: Some(now),
        completed_at: Some(now),
        ..offered
    }
}

/// Tells other hosts of devices whose updates changed. (This host's loops are told by what is returned.)
pub(crate) async fn notify_affected_devices(
    tx: &mut Tx,
    affected: &[AffectedDevice],
) -> Result<(), StoreError> {
    let mut by_tenant: BTreeMap<TenantId, Vec<&str>> = BTreeMap::new();
    for device in affected {
        by_tenant
            .entry(device.tenant)
            .or_default()
            .push(&device.device_id);
    }
    for (tenant, devices) in by_tenant {
        notify_devices(tx, tenant, devices).await?;
    }
    Ok(())
}
