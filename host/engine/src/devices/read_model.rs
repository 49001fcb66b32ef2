use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quick_cache::{Equivalent, sync::Cache};
use tidegate_core::id::TenantId;

use crate::ports::PollView;

/// Most devices that are remembered; the rest is read from the store. A million fit, however they fall on the shards.
const CAPACITY: usize = 1 << 20;
/// Devices share counters of changes: a change of one may keep an answer about another from being remembered, no more.
const STRIPES: usize = 16_384;

/// What polls are answered from: memory first, the store when it is not there.
///
/// Answers come from reads and changes that take a while, and others may overtake them. So whoever reads or changes
/// takes a `Ticket` before, and what comes of it is remembered only if nothing was changed since.
pub struct ReadModel {
    views: Cache<Key, Known>,
    /// The groups of devices that come through gateways of one group.
    groups: Cache<Key, Arc<[String]>>,
    /// How often anything of the stripe was changed.
    changes: Box<[Mutex<u64>]>,
    hasher: RandomState,
}

/// What is remembered of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    view: PollView,
    /// None: it is still to be worked out.
    fitting: Option<Fitting>,
}

/// Which override of its tenant's polling settings fits a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fitting {
    /// Of the settings.
    pub(crate) revision: i64,
    /// None: none fits.
    pub(crate) place: Option<u8>,
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
        let known = self.views.get(&KeyRef { tenant, device_id })?;
        Some(known.view)
    }

    /// Which override fits a device, if that is remembered.
    pub(crate) fn fitting(&self, tenant: TenantId, device_id: &str) -> Option<Fitting> {
        self.views.get(&KeyRef { tenant, device_id })?.fitting
    }

    /// Remembers which override fits a device that is remembered, unless something was changed since the ticket was
    /// taken.
    pub(crate) fn was_fitted(&self, ticket: Ticket<'_>, fitting: Fitting) {
        let changes = self.lock(ticket.stripe);
        if *changes == ticket.changes
            && let Some(known) = self.views.get(&ticket.key_ref())
        {
            let fitting = Some(fitting);
            self.views.insert(ticket.key(), Known { fitting, ..known });
        }
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
            let fitting = None;
            self.views.insert(ticket.key(), Known { view, fitting });
        }
    }

    /// Remembers what a change made of a device, `changes_device`: and of what its tenant's overrides go by. When another change was made since the ticket was taken, nobody here
    /// knows which one the store made last: unless both made the same of it, as two of one transaction do, the device is
    /// forgotten.
    pub(crate) fn was_changed(&self, ticket: Ticket<'_>, view: PollView, changes_device: bool) {
        let mut changes = self.lock(ticket.stripe);
        let known = self.views.get(&ticket.key_ref());
        if *changes == ticket.changes {
            let known = known.filter(|_| !changes_device);
            let fitting = known.and_then(|known| known.fitting);
            self.views.insert(ticket.key(), Known { view, fitting });
        } else if known.is_none_or(|known| known.view != view) {
            self.views.remove(&ticket.key_ref());
        } else if changes_device {
            let fitting = None;
            self.views.insert(ticket.key(), Known { view, fitting });
        }
        *changes += 1;
    }

    /// Forgets a device that was changed.
    pub(crate) fn forget(&self, tenant: TenantId, device_id: &str) {
        let mut changes = self.lock(self.stripe(tenant, device_id));
        let key = KeyRef { tenant, device_id };
        self.views.remove(&key);
        self.groups.remove(&key);
        *changes += 1;
    }

    /// Forgets everything.
    pub(crate) fn forget_all(&self) {
        for stripe in 0..STRIPES {
            *self.lock(stripe) += 1;
        }
        self.views.clear();
        self.groups.clear();
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
            polling_seconds: None,
        }
    }

    fn remembered(model: &ReadModel) -> Option<PollView> {
        model.get(LAB, "a")
    }

    /// There is one for each of a million devices. What few devices have goes into a box: of a window, a pointer is left.
    #[test]
    fn what_is_remembered_of_a_device_is_small() {
        let bytes = size_of::<Known>();
        assert!(bytes <= 128, "{bytes} bytes");
    }

    #[test]
    fn a_million_devices_are_remembered() {
        let model = ReadModel::default();
        let id = |number: u32| format!("device-{number}");
        for number in 0..1_000_000 {
            model.was_read(model.ticket(LAB, &id(number)), view(1));
        }
        let forgotten = (0..1_000_000).filter(|number| model.get(LAB, &id(*number)).is_none());
        assert_eq!(forgotten.count(), 0);
        model.forget_all();
        assert_eq!(model.get(LAB, &id(7)), None);
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
        model.was_changed(model.ticket(LAB, "a"), view(2), false);
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
        model.was_changed(other, view(2), false);
        model.was_changed(one, view(1), false);
        assert_eq!(remembered(&model), None);

        let (one, other) = (model.ticket(LAB, "a"), model.ticket(LAB, "a"));
        model.was_changed(other, view(2), false);
        model.was_changed(one, view(2), false);
        assert_eq!(
            remembered(&model),
            Some(view(2)),
            "whichever came last made this of it"
        );

        model.was_changed(model.ticket(LAB, "a"), view(3), false);
        model.was_changed(model.ticket(LAB, "a"), view(4), false);
        assert_eq!(
            remembered(&model),
            Some(view(4)),
            "one after the other is fine"
        );
    }

    #[test]
    fn what_fits_a_device_holds_until_the_device_changes() {
        let model = ReadModel::default();
        let ticket = || model.ticket(LAB, "a");
        let fitting = |place| Fitting {
            revision: 1,
            place: Some(place),
        };
        let fits = || model.fitting(LAB, "a").and_then(|fitting| fitting.place);
        model.was_fitted(ticket(), fitting(1));
        assert_eq!(fits(), None, "it is not remembered itself");
        model.was_read(ticket(), view(1));
        assert_eq!(fits(), None);
        model.was_fitted(ticket(), fitting(1));
        model.was_changed(ticket(), view(2), false);
        assert_eq!((fits(), remembered(&model)), (Some(1), Some(view(2))));
        let old = ticket();
        model.was_changed(ticket(), view(2), true);
        assert_eq!(fits(), None);
        model.was_fitted(old, fitting(1));
        assert_eq!(fits(), None, "it was worked out of what was before");

        model.was_fitted(ticket(), fitting(2));
        let (one, other) = (ticket(), ticket());
        model.was_changed(one, view(3), false);
        model.was_changed(other, view(3), true);
        assert_eq!((fits(), remembered(&model)), (None, Some(view(3))));
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
                            model.was_changed(ticket, view(now as i32), false);
                        }
                    });
                }
            });
            let seen = remembered(&model);
            assert!(seen.is_none() || seen == Some(read()), "{seen:?}");
        }
    }
}
