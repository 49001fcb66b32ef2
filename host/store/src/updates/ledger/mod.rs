//! Updates and their devices as one transaction changes them: read and locked once, stepped in memory, written once.
//!
//! This is the one place where an update takes a step, so that everything that follows from it follows always: its
//! device's state and version, the counters of its wave and campaign, and the tenant's tallies.

mod counters;
mod device;
mod entry;
mod histogram;
mod overwrite;
mod tries;

pub(crate) use device::DeviceRow;
pub(crate) use entry::{Entry, NewUpdate};
pub(crate) use histogram::durations;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use tidegate_core::{
    device::DeviceState,
    id::{CampaignId, DeviceKey, TenantId, UpdateId},
    rollback::Return,
    time::Timestamp,
    update::{Event, Progress, Refusal, Update, UpdateStatus},
};
use tidegate_engine::ports::{OpenUpdate, PollView, StoreError, Touched};

use crate::{changes::announce, database::Tx, error::internal, latest::stir, tallies::Tallies};

use counters::Counters;
use entry::Ran;

/// Devices of one tenant and their updates: all that are open, and those that were asked for.
#[derive(Debug)]
pub(crate) struct Ledger {
    tenant: TenantId,
    now: Timestamp,
    devices: BTreeMap<DeviceKey, Held>,
    updates: BTreeMap<UpdateId, Entry>,
    by_device: HashMap<DeviceKey, Vec<UpdateId>>,
    counters: Counters,
    /// The next tries of updates that failed: made when everything is written.
    tries: BTreeMap<DeviceKey, Vec<Update>>,
}

#[derive(Debug)]
struct Held {
    was: DeviceRow,
    now: DeviceRow,
}

impl Ledger {
    /// Reads and locks. Devices that are not there are left out.
    pub(crate) async fn open(
        tx: &mut Tx,
        tenant: TenantId,
        devices: &BTreeSet<DeviceKey>,
        updates: &BTreeSet<UpdateId>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let locked = device::lock(tx, tenant, devices).await?;
        let entries = entry::read(tx, tenant, locked.keys().copied(), updates).await?;
        let held = locked.into_iter().map(|(key, was)| {
            let now = was.clone();
            (key, Held { was, now })
        });
        let mut ledger = Self {
            tenant,
            now,
            devices: held.collect(),
            updates: BTreeMap::new(),
            by_device: HashMap::new(),
            counters: Counters::default(),
            tries: BTreeMap::new(),
        };
        for entry in entries {
            ledger.enter(entry);
        }
        Ok(ledger)
    }

    fn enter(&mut self, entry: Entry) {
        let (id, device) = (entry.update.id, entry.update.device);
        self.by_device.entry(device).or_default().push(id);
        self.updates.insert(id, entry);
    }

    pub(crate) fn device(&self, key: DeviceKey) -> Option<&DeviceRow> {
        self.devices.get(&key).map(|held| &held.now)
    }

    pub(crate) fn device_mut(&mut self, key: DeviceKey) -> Option<&mut DeviceRow> {
        self.devices.get_mut(&key).map(|held| &mut held.now)
    }

    pub(crate) fn entry(&self, id: UpdateId) -> Option<&Entry> {
        self.updates.get(&id)
    }

    /// Takes numbers for new lines of an update's log; answers the first one. 0: there are no lines.
    pub(crate) fn add_lines(&mut self, id: UpdateId, lines: usize) -> Option<u64> {
        if lines == 0 {
            return self.entry(id).map(|_| 0);
        }
        let entry = self.entry_mut(id)?;
        let first = entry.log_lines + 1;
        entry.log_lines += lines as u64;
        Some(first)
    }

    /// For what is no step: the entry is written.
    pub(crate) fn entry_mut(&mut self, id: UpdateId) -> Option<&mut Entry> {
        let entry = self.updates.get_mut(&id)?;
        entry.changed = true;
        Some(entry)
    }

    /// The updates of a device that are known here.
    pub(crate) fn of_device(&self, key: DeviceKey) -> impl Iterator<Item = &Entry> {
        let ids = self.by_device.get(&key).into_iter().flatten();
        ids.filter_map(|id| self.updates.get(id))
    }

    /// What the event makes of the update, and all that follows. False: nothing, or there is no such update here.
    pub(crate) fn step(
        &mut self,
        id: UpdateId,
        event: &Event,
        at: Timestamp,
        tallies: &mut Tallies,
    ) -> Result<bool, Refusal> {
        let Some(entry) = self.updates.get_mut(&id) else {
            return Ok(false);
        };
        let before = entry.update.progress.status;
        let after = entry.update.progress.clone().after(event, at)?;
        if after.stands_as(&entry.update.progress) {
            entry.changed |= after != entry.update.progress;
            entry.update.progress = after;
            return Ok(false);
        }
        if before != UpdateStatus::Cancelling && after.status == UpdateStatus::Cancelling {
            entry.call_backs += 1;
        }
        entry.update.progress = after;
        // That the device looks is noted after it is answered, and is no news for it.
        if *event != Event::Retrieved {
            entry.revision = entry.revision.wrapping_add(1);
        }
        entry.changed = true;
        let next = entry.try_again(before, at);
        let update = entry.update.clone();
        if let Some(next) = next {
            self.tries.entry(update.device).or_default().push(next);
        }
        self.follow(&update, Some(before), at, tallies);
        Ok(true)
    }

    /// Makes updates, offered or completed at once, for devices that are here; answers the id of each.
    pub(crate) async fn make(
        &mut self,
        tx: &mut Tx,
        new: Vec<NewUpdate>,
        tallies: &mut Tallies,
    ) -> Result<HashMap<DeviceKey, UpdateId>, StoreError> {
        let mut rows = Vec::with_capacity(new.len());
        for mut new in new {
            let device = self.device(new.device).cloned();
            let device = device.ok_or_else(|| {
                internal("make updates")(format!("device {} is not locked", new.device).into())
            })?;
            if device.auto_confirms {
                let agreed = new.progress.after(&Event::AutoConfirmed, new.created_at);
                new.progress = agreed.map_err(|error| internal("make updates")(error.into()))?;
            }
            let from = Ran {
                version: device.sw_version,
                firmware: device.installed_firmware,
            };
            rows.push((new, from));
        }
        if rows.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: HashMap<_, _> = entry::insert(tx, self.tenant, &rows)
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
                progress: new.progress,
                from_version: from.version,
                to_version: new.to_version,
                from_firmware: from.firmware,
                created_at: new.created_at,
                attempt: new.attempt,
            };
            self.enter(Entry {
                update: update.clone(),
                revision: 0,
                feedbacks: 0,
                log_lines: 0,
                call_backs: 0,
                called_back_at: None,
                looked_at: None,
                changed: false,
            });
            self.follow(&update, None, new.created_at, tallies);
        }
        Ok(ids)
    }

    /// Everything that follows when an update was made (no `before`) or took a step.
    fn follow(
        &mut self,
        update: &Update,
        before: Option<UpdateStatus>,
        at: Timestamp,
        tallies: &mut Tallies,
    ) {
        self.counters.moved(update, before);
        let after = update.progress.status;
        if update.attempt.is_retried {
            tallies.update_retried(self.tenant, before, after, at);
        } else {
            tallies.update(self.tenant, before, after, at);
        }
        let waits = self.tries.contains_key(&update.device)
            || self
                .of_device(update.device)
                .any(|entry| entry.update.progress.status.is_open());
        let Some(held) = self.devices.get_mut(&update.device) else {
            return;
        };
        let device = &mut held.now;
        // What was there already when the update was made changes nothing on the device.
        let has_it = before.is_some() && update.progress.status == UpdateStatus::Completed;
        if has_it && update.progress.terms.update_type.installs() {
            device.runs(update);
        }
        device.wants_attributes |= has_it;
        // The proof is asked for: a device that reported its version too early would else stay silent about it.
        device.wants_attributes |= update.progress.waits_for_version(at);
        device.state = match update.progress.status {
            _ if waits => DeviceState::Pending,
            UpdateStatus::Completed => DeviceState::InSync,
            UpdateStatus::Failed | UpdateStatus::TimedOut => DeviceState::Error,
            _ if device.installed_update.is_some() => DeviceState::InSync,
            _ => DeviceState::Registered,
        };
    }

    /// The device has what this update brings, of which it is not known yet.
    pub(crate) fn has_installed(&mut self, id: UpdateId) {
        let Some(update) = self.updates.get(&id).map(|entry| &entry.update) else {
            return;
        };
        if let Some(held) = self.devices.get_mut(&update.device) {
            held.now.runs(update);
        }
    }

    /// What polls of a device are to be answered from now on: the rule of `devices/poll_view.rs`, in memory.
    pub(crate) fn view(&self, key: DeviceKey) -> Option<PollView> {
        let device = self.device(key)?;
        let shown = self
            .of_device(key)
            .filter(|entry| entry.update.progress.status.is_offered_to_device())
            .max_by_key(|entry| (entry.update.weight, Reverse(entry.update.id)));
        Some(PollView {
            device: key,
            token_sha256: device.token_sha256,
            old_token: device.old_token.clone(),
            wants_attributes: device.wants_attributes,
            is_unseen: device.state == DeviceState::Unknown,
            open: shown.map(|entry| OpenUpdate {
                id: entry.update.id,
                status: entry.update.progress.status,
                revision: entry.revision,
                forced_at: entry.update.progress.terms.update_type.forced_at(),
                window: entry.update.progress.terms.window.clone(),
            }),
            installed: device.installed_update,
            polling_seconds: device.polling_seconds,
        })
    }

    /// Whether a selector could tell a device from what it was before this transaction, its attributes aside.
    pub(crate) fn changes_device(&self, key: DeviceKey) -> bool {
        let held = self.devices.get(&key);
        held.is_none_or(|held| !held.was.looks_like(&held.now))
    }

    /// So many devices of a wave were admitted, and so many of them are not there any more or were passed over.
    pub(crate) fn admitted(&mut self, campaign: CampaignId, wave: u32, devices: u64, gone: u64) {
        self.counters.admitted(campaign, wave, devices, gone);
    }

    /// A device of a wave that was passed over is admitted after all.
    pub(crate) fn let_in(&mut self, campaign: CampaignId, wave: u32) {
        self.counters.let_in(campaign, wave);
    }

    /// A rollback has dealt with this ended update.
    pub(crate) fn looked_at(&mut self, campaign: CampaignId, id: UpdateId, decided: Return) {
        let now = self.now;
        if let Some(entry) = self.entry_mut(id)
            && entry.looked_at.is_none()
        {
            entry.looked_at = Some(now);
            self.counters.looked_at(campaign, decided);
        }
    }

    /// A device is about to be deleted: it is counted no more, and not written.
    pub(crate) fn device_gone(&mut self, key: DeviceKey, tallies: &mut Tallies) {
        if let Some(held) = self.devices.remove(&key) {
            tallies.device_gone(self.tenant, &held.was.traits());
        }
    }

    /// Who is to be told that a device's updates changed.
    pub(crate) fn touched(&self, key: DeviceKey, campaign: Option<CampaignId>) -> Option<Touched> {
        Some(Touched {
            tenant: self.tenant,
            device: key,
            device_id: self.device(key)?.device_id.clone(),
            campaign,
        })
    }

    /// Writes everything that changed, but for the tallies: they come last in the transaction.
    pub(crate) async fn write(self, tx: &mut Tx, tallies: &mut Tallies) -> Result<(), StoreError> {
        let changed = self.updates.values().filter(|entry| entry.changed);
        entry::write(tx, self.tenant, changed).await?;
        tries::insert(tx, self.tenant, self.tries.into_values().flatten()).await?;
        let changed: Vec<_> = self
            .devices
            .iter()
            .filter(|(_, held)| held.was != held.now)
            .map(|(key, held)| (*key, &held.was, &held.now))
            .collect();
        device::write(tx, self.tenant, &changed, tallies).await?;
        if changed.iter().any(|(_, was, now)| now.may_be_behind(was)) {
            stir(tx, self.tenant).await?;
        }
        self.counters.write(tx, self.tenant, self.now).await
    }
}

/// An update that is done as it is made: the device has the firmware.
pub(crate) fn done_at_once(offered: Progress, now: Timestamp) -> Progress {
    Progress {
        status: UpdateStatus::Completed,
        started_at: Some(now),
        completed_at: Some(now),
        ..offered
    }
}

/// Tells other hosts of devices whose updates changed. (This host's loops are told by what is returned.)
pub(crate) async fn announce_touched(tx: &mut Tx, touched: &[Touched]) -> Result<(), StoreError> {
    let mut by_tenant: BTreeMap<TenantId, Vec<&str>> = BTreeMap::new();
    for device in touched {
        by_tenant
            .entry(device.tenant)
            .or_default()
            .push(&device.device_id);
    }
    for (tenant, devices) in by_tenant {
        announce(tx, tenant, devices).await?;
    }
    Ok(())
}
