//! Unit of work: the devices and updates that a transaction reads and locks once, changes in memory, and writes once.
//!
//! All state transitions of updates happen here, so that their effects are always applied: the device's state and
//! version, the counters of wave and campaign, and the tenant counters.

mod compatibility;
mod counters;
mod histogram;
mod late_success;
mod loaded_device;
mod loaded_update;
mod new_updates;
mod poll_view;
mod retries;
mod rollback;
mod transitions;
mod update_rows;

pub(crate) use histogram::durations;
pub(crate) use loaded_device::DeviceRow;
pub(crate) use loaded_update::LoadedUpdate;
pub(crate) use new_updates::NewUpdate;
pub(crate) use update_rows::{ChangedRow, ColumnValue, update_rows};

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tidegate_core::{
    id::{CampaignId, DeviceKey, TenantId, UpdateId},
    time::Timestamp,
    update::{Update, UpdateEvent, UpdateState, UpdateStatus},
};
use tidegate_engine::ports::{AffectedDevice, StoreError};

use crate::{
    changed_devices::mark_changed,
    database::Tx,
    error::internal,
    invalidation::notify_devices,
    latest::mark_dirty,
    tenant_counters::TenantCounters,
    updates::class_attributes::{ClassAttributes, attribute_names},
};

use counters::CampaignCounters;
use new_updates::PreviousInstallation;

/// Devices of one tenant with their open updates, and other updates that were requested by id.
#[derive(Debug)]
pub(crate) struct UpdateUnitOfWork {
    tenant: TenantId,
    now: Timestamp,
    devices: BTreeMap<DeviceKey, LoadedDevice>,
    updates: BTreeMap<UpdateId, LoadedUpdate>,
    by_device: HashMap<DeviceKey, Vec<UpdateId>>,
    counters: CampaignCounters,
    class_attributes: ClassAttributes,
    /// Retries that were never offered and are not needed any more.
    withdrawn_retries: Vec<UpdateId>,
    /// Retries of failed updates, and next steps after intermediate ones, which are inserted after all other changes are
    /// written.
    successors: BTreeMap<DeviceKey, Vec<Update>>,
}

#[derive(Debug)]
struct LoadedDevice {
    before: DeviceRow,
    after: DeviceRow,
}

impl UpdateUnitOfWork {
    /// Reads and locks the devices. Devices that do not exist are left out.
    pub(crate) async fn open(
        tx: &mut Tx,
        tenant: TenantId,
        devices: &BTreeSet<DeviceKey>,
        updates: &BTreeSet<UpdateId>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let locked = loaded_device::lock(tx, tenant, devices).await?;
        // A late report may complete an update that failed or timed out.
        let ended = locked.values().filter_map(|device| device.failed_update);
        let updates = updates.iter().copied().chain(ended).collect();
        let updates = loaded_update::read(tx, tenant, locked.keys().copied(), &updates).await?;
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
            class_attributes: ClassAttributes::default(),
            withdrawn_retries: Vec::new(),
            successors: BTreeMap::new(),
        };
        // Of updates that the device has not begun: the others are not checked again.
        let unbegun = updates.iter().map(|loaded| &loaded.update);
        let unbegun = unbegun.filter(|update| {
            let is_unoffered = matches!(
                update.state.status,
                UpdateStatus::Scheduled | UpdateStatus::WaitingApproval
            );
            is_unoffered || update.state.is_unbegun_offer()
        });
        let bases = unbegun.filter_map(|update| update.compatibility.as_ref());
        work.read_class_attributes(tx, attribute_names(bases))
            .await?;
        for loaded in updates {
            work.add_update(loaded);
        }
        let with_cancelled_retry = work.devices_with_cancelled_retry();
        if !with_cancelled_retry.is_empty() {
            let retries = loaded_update::read_cancelled_retries(tx, tenant, &with_cancelled_retry);
            for loaded in retries.await? {
                work.add_update(loaded);
            }
        }
        Ok(work)
    }

    /// Reads these updates of the loaded devices too, if they have ended.
    pub(crate) async fn load_ended(
        &mut self,
        tx: &mut Tx,
        ids: &BTreeSet<UpdateId>,
    ) -> Result<(), StoreError> {
        let ids = ids.iter().filter(|id| !self.updates.contains_key(id));
        let ids: BTreeSet<UpdateId> = ids.copied().collect();
        if ids.is_empty() {
            return Ok(());
        }
        for loaded in loaded_update::read(tx, self.tenant, std::iter::empty(), &ids).await? {
            self.add_update(loaded);
        }
        Ok(())
    }

    fn add_update(&mut self, loaded: LoadedUpdate) {
        let (id, device) = (loaded.update.id, loaded.update.device);
        if self.updates.insert(id, loaded).is_none() {
            self.by_device.entry(device).or_default().push(id);
        }
    }

    pub(crate) fn device(&self, key: DeviceKey) -> Option<&DeviceRow> {
        self.devices.get(&key).map(|loaded| &loaded.after)
    }

    pub(crate) fn device_mut(&mut self, key: DeviceKey) -> Option<&mut DeviceRow> {
        self.devices.get_mut(&key).map(|loaded| &mut loaded.after)
    }

    /// Sets whether auto-confirm is active on the device. The caller writes it.
    pub(crate) fn set_auto_confirms(&mut self, key: DeviceKey, active: bool) {
        if let Some(loaded) = self.devices.get_mut(&key) {
            loaded.before.auto_confirms = active;
            loaded.after.auto_confirms = active;
        }
    }

    pub(crate) fn loaded(&self, id: UpdateId) -> Option<&LoadedUpdate> {
        self.updates.get(&id)
    }

    /// Allocates line numbers in an update's log; returns the first one, or 0 for no lines.
    pub(crate) fn add_lines(&mut self, id: UpdateId, lines: usize) -> Option<u64> {
        if lines == 0 {
            return self.loaded(id).map(|_| 0);
        }
        let loaded = self.loaded_mut(id)?;
        let first = loaded.log_lines + 1;
        loaded.log_lines += lines as u64;
        Some(first)
    }

    /// For changes that are no state transition.
    pub(crate) fn loaded_mut(&mut self, id: UpdateId) -> Option<&mut LoadedUpdate> {
        self.updates.get_mut(&id)
    }

    /// The loaded updates of a device.
    pub(crate) fn updates_of(&self, key: DeviceKey) -> impl Iterator<Item = &LoadedUpdate> {
        let ids = self.by_device.get(&key).into_iter().flatten();
        ids.filter_map(|id| self.updates.get(id))
    }

    /// The open updates of a device, and the one that failed or ended by its silence before it was offered a later one.
    pub(crate) fn completable(&self, key: DeviceKey) -> impl Iterator<Item = &Update> {
        let failed = self.device(key).and_then(|device| device.failed_update);
        let updates = self.updates_of(key).map(|loaded| &loaded.update);
        updates.filter(move |update| update.state.status.is_open() || failed == Some(update.id))
    }

    /// Creates updates, offered or completed, for loaded devices; returns their ids.
    pub(crate) async fn create_updates(
        &mut self,
        tx: &mut Tx,
        new: Vec<NewUpdate>,
        tenant_counters: &mut TenantCounters,
    ) -> Result<HashMap<DeviceKey, UpdateId>, StoreError> {
        let bases = new.iter().filter_map(|new| new.compatibility.as_ref());
        self.read_class_attributes(tx, attribute_names(bases))
            .await?;
        let mut rows = Vec::with_capacity(new.len());
        for mut new in new {
            let device = self.device(new.device).cloned();
            let device = device.ok_or_else(|| {
                internal("create updates")(format!("device {} is not locked", new.device).into())
            })?;
            let is_offered =
                new.state.status.is_open() && new.state.status != UpdateStatus::WaitingApproval;
            if is_offered && !self.covers(new.device, new.compatibility.as_ref()) {
                // Due at once: the loop that offers it has the device checked before.
                let UpdateState {
                    success_criteria,
                    options,
                    ..
                } = new.state;
                new.state = UpdateState::scheduled(success_criteria, options, new.created_at);
            } else if device.auto_confirms {
                let confirmed = new.state.after(&UpdateEvent::AutoConfirmed, new.created_at);
                new.state = confirmed.map_err(|error| internal("create updates")(error.into()))?;
            }
            let visible = self.visible_update(new.device);
            let is_visible = visible.is_none_or(|loaded| loaded.update.weight < new.weight);
            new.state.set_visible(is_visible, new.created_at);
            let from = PreviousInstallation {
                version: device.sw_version,
                firmware: device.installed_firmware,
            };
            rows.push((new, from));
        }
        if rows.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: HashMap<_, _> = new_updates::insert(tx, self.tenant, &rows)
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
                compatibility: new.compatibility,
            };
            self.add_update(LoadedUpdate::created(update, tx.stopped_ms()));
            self.apply_effects(*id, None, new.created_at, tenant_counters);
        }
        Ok(ids)
    }

    /// Whether a selector may distinguish the device from its state before the transaction. Ignores attributes.
    pub(crate) fn changes_device(&self, key: DeviceKey) -> bool {
        let loaded = self.devices.get(&key);
        loaded.is_none_or(|loaded| !loaded.before.same_to_selectors(&loaded.after))
    }

    /// Counts admitted devices; `not_offered` of them were deleted or skipped.
    pub(crate) fn count_admitted(
        &mut self,
        campaign: CampaignId,
        wave: u32,
        devices: u64,
        not_offered: u64,
    ) {
        self.counters
            .count_admitted(campaign, wave, devices, not_offered);
    }

    /// Wakes the campaign of an update, which did not change.
    pub(crate) fn wake_campaign(&mut self, id: UpdateId) {
        let update = self.updates.get(&id).map(|loaded| &loaded.update);
        if let Some((campaign, _)) = update.and_then(|update| update.campaign) {
            self.counters.mark_dirty(campaign);
        }
    }

    /// Counts a skipped device that is offered its update after all.
    pub(crate) fn count_readmitted(&mut self, campaign: CampaignId, wave: u32) {
        self.counters.count_readmitted(campaign, wave);
    }

    /// Removes a device that is being deleted from the counters; it is not written.
    pub(crate) fn remove_device(&mut self, key: DeviceKey, tenant_counters: &mut TenantCounters) {
        if let Some(loaded) = self.devices.remove(&key) {
            tenant_counters.uncount_device(self.tenant, &loaded.before.traits());
        }
    }

    /// The device for notifications about its updates.
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
            view: self.view(key).map(Box::new),
        })
    }

    /// Writes all changes except the tenant counters, which are written last in the transaction.
    pub(crate) async fn write(
        mut self,
        tx: &mut Tx,
        tenant_counters: &mut TenantCounters,
    ) -> Result<(), StoreError> {
        self.set_clocks();
        late_success::delete(tx, self.tenant, &self.withdrawn_retries).await?;
        loaded_update::write(tx, self.tenant, self.updates.values()).await?;
        retries::insert(tx, self.tenant, self.successors.into_values().flatten()).await?;
        for loaded in self.devices.values_mut() {
            loaded.after.recount(&loaded.before);
        }
        let changed: Vec<_> = self
            .devices
            .iter()
            .filter(|(_, loaded)| loaded.before != loaded.after)
            .map(|(key, loaded)| (*key, &loaded.before, &loaded.after))
            .collect();
        loaded_device::write(tx, self.tenant, &changed, tenant_counters).await?;
        let visibly_changed = changed
            .iter()
            .filter(|(_, before, after)| !after.same_to_campaigns(before));
        mark_changed(tx, self.tenant, visibly_changed.map(|(key, ..)| *key)).await?;
        if changed
            .iter()
            .any(|(_, before, after)| after.may_need_latest(before))
        {
            mark_dirty(tx, self.tenant).await?;
        }
        self.counters.write(tx, self.tenant, self.now).await
    }
}

/// A state that is completed at creation: the device has the firmware already.
pub(crate) fn completed_at_creation(offered: UpdateState, now: Timestamp) -> UpdateState {
    UpdateState {
        status: UpdateStatus::Completed,
        started_at: Some(now),
        completed_at: Some(now),
        ..offered
    }
}

/// Notifies other servers about devices with changed updates. This server's loops use the return value.
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
