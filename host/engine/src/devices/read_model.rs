use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use moka::{Equivalent, sync::Cache};
use tidegate_core::id::TenantId;

use crate::ports::PollView;

/// Most devices that are remembered. The rest is read from the store.
const CAPACITY: u64 = 1_000_000;
/// Devices share counters of changes: a change of one may keep an answer about another from being remembered, no more.
const STRIPES: usize = 16_384;

/// What polls are answered from: memory first, the store when it is not there.
///
/// Answers come from reads and changes that take a while, and others may overtake them. So whoever reads or changes
/// takes a `Ticket` before, and what comes of it is remembered only if nothing was changed since.
pub struct ReadModel {
    views: Cache<Key, PollView>,
    /// The groups of devices that come through gateways of one group.
    groups: Cache<Key, Arc<[String]>>,
    /// How often anything of the stripe was changed.
    changes: Box<[Mutex<u64>]>,
    hasher: RandomState,
}

/// Taken before a device is read or changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket<'a> {
    tenant: TenantId,
    device_id: &'a str,
    stripe: usize,
    changes: u64,
}

impl Default for ReadModel {
    fn default() -> Self {
        Self {
            views: Cache::new(CAPACITY),
            groups: Cache::new(CAPACITY),
            changes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl ReadModel {
    /// What is remembered of a device.
    pub(crate) fn get(&self, tenant: TenantId, device_id: &str) -> Option<PollView> {
        self.views.get(&KeyRef { tenant, device_id })
    }

    /// The groups that are remembered of a device.
    pub(crate) fn groups(&self, tenant: TenantId, device_id: &str) -> Option<Arc<[String]>> {
        self.groups.get(&KeyRef { tenant, device_id })
    }

    /// Remembers the groups that were read, unless something was changed since the ticket was taken. What devices report
    /// changes no groups; whoever does change them forgets the device.
    pub(crate) fn groups_were_read(&self, ticket: Ticket<'_>, groups: Arc<[String]>) {
        let changes = self.lock(ticket.stripe);
        if *changes == ticket.changes {
            self.groups.insert(ticket.key(), groups);
        }
    }

    /// To be taken before a device is read or changed.
    pub(crate) fn ticket<'a>(&self, tenant: TenantId, device_id: &'a str) -> Ticket<'a> {
        let stripe = self.stripe(tenant, device_id);
        Ticket {
            tenant,
            device_id,
            stripe,
            changes: *self.lock(stripe),
        }
    }

    /// Remembers what was read, unless something was changed since the ticket was taken: then it may be old.
    pub(crate) fn was_read(&self, ticket: Ticket<'_>, view: PollView) {
        let changes = self.lock(ticket.stripe);
        if *changes == ticket.changes {
            self.views.insert(ticket.key(), view);
        }
    }

    /// Remembers what a change made of a device. When another change was made since the ticket was taken, nobody here
    /// knows which one the store made last: unless both made the same of it, as two of one transaction do, the device is
    /// forgotten.
    pub(crate) fn was_changed(&self, ticket: Ticket<'_>, view: PollView) {
        let mut changes = self.lock(ticket.stripe);
        if *changes == ticket.changes {
            self.views.insert(ticket.key(), view);
        } else if self.views.get(&ticket.key_ref()) != Some(view) {
            self.views.invalidate(&ticket.key_ref());
        }
        *changes += 1;
    }

    /// Forgets a device that was changed.
    pub(crate) fn forget(&self, tenant: TenantId, device_id: &str) {
        let mut changes = self.lock(self.stripe(tenant, device_id));
        let key = KeyRef { tenant, device_id };
        self.views.invalidate(&key);
        self.groups.invalidate(&key);
        *changes += 1;
    }

    /// Forgets everything.
    pub(crate) fn forget_all(&self) {
        for stripe in 0..STRIPES {
            *self.lock(stripe) += 1;
        }
        self.views.invalidate_all();
        self.groups.invalidate_all();
    }

    fn stripe(&self, tenant: TenantId, device_id: &str) -> usize {
        self.hasher.hash_one((tenant, device_id)) as usize % STRIPES
    }

    fn lock(&self, stripe: usize) -> MutexGuard<'_, u64> {
        self.changes[stripe]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: TenantId,
    device_id: Box<str>,
}

/// Finds a [`Key`] without making one; both hash alike.
#[derive(Hash)]
struct KeyRef<'a> {
    tenant: TenantId,
    device_id: &'a str,
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.tenant == key.tenant && *self.device_id == *key.device_id
    }
}

impl Ticket<'_> {
    fn key(&self) -> Key {
        Key {
            tenant: self.tenant,
            device_id: self.device_id.into(),
        }
    }

    fn key_ref(&self) -> KeyRef<'_> {
        KeyRef {
            tenant: self.tenant,
            device_id: self.device_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicI64, Ordering},
        thread,
    };

    use tidegate_core::id::{DeviceKey, UpdateId};

    use super::*;

    const LAB: TenantId = TenantId(1);

    fn view(installed: i32) -> PollView {
        PollView {
            device: DeviceKey(1),
            token_sha256: None,
            old_token: None,
            wants_attributes: false,
            is_unseen: false,
            open: None,
            installed: Some(UpdateId(installed)),
        }
    }

    fn remembered(model: &ReadModel) -> Option<PollView> {
        model.get(LAB, "a")
    }

    #[test]
    fn what_is_read_is_remembered_for_that_device_alone() {
        let model = ReadModel::default();
        model.was_read(model.ticket(LAB, "a"), view(1));
        assert_eq!(remembered(&model), Some(view(1)));
        assert_eq!(model.get(TenantId(2), "a"), None);
        assert_eq!(model.get(LAB, "b"), None);
        model.forget(LAB, "a");
        assert_eq!(remembered(&model), None);
    }

    #[test]
    fn a_read_that_was_overtaken_by_a_change_is_not_remembered() {
        let model = ReadModel::default();
        let read = model.ticket(LAB, "a");
        model.was_changed(model.ticket(LAB, "a"), view(2));
        model.was_read(read, view(1));
        assert_eq!(remembered(&model), Some(view(2)));

        for forget in [
            |model: &ReadModel| model.forget(LAB, "a"),
            |model: &ReadModel| model.forget_all(),
        ] {
            let read = model.ticket(LAB, "a");
            forget(&model);
            model.was_read(read, view(1));
            assert_eq!(remembered(&model), None);
        }
    }

    #[test]
    fn of_two_changes_at_once_neither_is_trusted_unless_they_agree() {
        let model = ReadModel::default();
        let (one, other) = (model.ticket(LAB, "a"), model.ticket(LAB, "a"));
        model.was_changed(other, view(2));
        model.was_changed(one, view(1));
        assert_eq!(remembered(&model), None);

        let (one, other) = (model.ticket(LAB, "a"), model.ticket(LAB, "a"));
        model.was_changed(other, view(2));
        model.was_changed(one, view(2));
        assert_eq!(
            remembered(&model),
            Some(view(2)),
            "whichever came last made this of it"
        );

        model.was_changed(model.ticket(LAB, "a"), view(3));
        model.was_changed(model.ticket(LAB, "a"), view(4));
        assert_eq!(
            remembered(&model),
            Some(view(4)),
            "one after the other is fine"
        );
    }

    #[test]
    fn whoever_comes_last_nothing_old_stays() {
        let model = ReadModel::default();
        // Stands for the store: what it holds is what a poll must see once everybody is done.
        let store = AtomicI64::new(0);
        let read = || view(store.load(Ordering::SeqCst) as i32);
        for _ in 0..200 {
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        let ticket = model.ticket(LAB, "a");
                        let view = read();
                        thread::yield_now();
                        model.was_read(ticket, view);
                    });
                }
                for forgets in [false, false, true] {
                    let (model, store) = (&model, &store);
                    scope.spawn(move || {
                        let ticket = model.ticket(LAB, "a");
                        let now = store.fetch_add(1, Ordering::SeqCst) + 1;
                        thread::yield_now();
                        if forgets {
                            model.forget(LAB, "a");
                        } else {
                            model.was_changed(ticket, view(now as i32));
                        }
                    });
                }
            });
            let seen = remembered(&model);
            assert!(seen.is_none() || seen == Some(read()), "{seen:?}");
        }
    }
}
