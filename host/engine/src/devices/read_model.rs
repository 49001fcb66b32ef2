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
const VERSION_STRIPES: usize = 16_384;

/// What polls are answered from: memory first, the store when it is not there.
///
/// Answers come from reads and changes that take a while, and others may overtake them. So whoever reads or changes
/// takes a `VersionStamp` before, and what comes of it is remembered only if nothing was changed since.
pub struct ReadModel {
    views: Cache<Key, CachedDevice>,
    /// The groups of devices that come through gateways of one group.
    groups: Cache<Key, Arc<[String]>>,
    /// How often anything of the stripe was changed.
    versions: Box<[Mutex<u64>]>,
    hasher: RandomState,
}

/// What is remembered of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CachedDevice {
    view: PollView,
    /// None: it is still to be worked out.
    polling_override: Option<CachedOverride>,
}

/// Which override of its tenant's polling settings fits a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CachedOverride {
    /// Of the settings.
    pub(crate) revision: i64,
    /// None: none fits.
    pub(crate) index: Option<u8>,
}

/// Taken before a device is read or changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VersionStamp<'a> {
    tenant: TenantId,
    device_id: &'a str,
    stripe: usize,
    version: u64,
}

impl Default for ReadModel {
    fn default() -> Self {
        Self {
            views: Cache::new(CAPACITY),
            groups: Cache::new(CAPACITY),
            versions: (0..VERSION_STRIPES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl ReadModel {
    /// What is remembered of a device.
    pub(crate) fn get(&self, tenant: TenantId, device_id: &str) -> Option<PollView> {
        let cached = self.views.get(&KeyRef { tenant, device_id })?;
        Some(cached.view)
    }

    /// Which override fits a device, if that is remembered.
    pub(crate) fn polling_override(
        &self,
        tenant: TenantId,
        device_id: &str,
    ) -> Option<CachedOverride> {
        self.views
            .get(&KeyRef { tenant, device_id })?
            .polling_override
    }

    /// Remembers which override fits a device that is remembered, unless something was changed since the ticket was
    /// taken.
    pub(crate) fn insert_override(
        &self,
        stamp: VersionStamp<'_>,
        polling_override: CachedOverride,
    ) {
        let version = self.lock(stamp.stripe);
        if *version == stamp.version
            && let Some(cached) = self.views.get(&stamp.key_ref())
        {
            let polling_override = Some(polling_override);
            self.views.insert(
                stamp.key(),
                CachedDevice {
                    polling_override,
                    ..cached
                },
            );
        }
    }

    /// The groups that are remembered of a device.
    pub(crate) fn groups(&self, tenant: TenantId, device_id: &str) -> Option<Arc<[String]>> {
        self.groups.get(&KeyRef { tenant, device_id })
    }

    /// Remembers the groups that were read, unless something was changed since the ticket was taken. What devices report
    /// changes no groups; whoever does change them forgets the device.
    pub(crate) fn insert_groups(&self, stamp: VersionStamp<'_>, groups: Arc<[String]>) {
        let version = self.lock(stamp.stripe);
        if *version == stamp.version {
            self.groups.insert(stamp.key(), groups);
        }
    }

    /// To be taken before a device is read or changed.
    pub(crate) fn stamp<'a>(&self, tenant: TenantId, device_id: &'a str) -> VersionStamp<'a> {
        let stripe = self.stripe(tenant, device_id);
        VersionStamp {
            tenant,
            device_id,
            stripe,
            version: *self.lock(stripe),
        }
    }

    /// Remembers what was read, unless something was changed since the ticket was taken: then it may be old.
    pub(crate) fn insert_read(&self, stamp: VersionStamp<'_>, view: PollView) {
        let version = self.lock(stamp.stripe);
        if *version == stamp.version {
            let polling_override = None;
            self.views.insert(
                stamp.key(),
                CachedDevice {
                    view,
                    polling_override,
                },
            );
        }
    }

    /// Remembers what a change made of a device, `changes_device`: and of what its tenant's overrides go by. When another change was made since the ticket was taken, nobody here
    /// knows which one the store made last: unless both made the same of it, as two of one transaction do, the device is
    /// forgotten.
    pub(crate) fn insert_changed(
        &self,
        stamp: VersionStamp<'_>,
        view: PollView,
        changes_device: bool,
    ) {
        let mut version = self.lock(stamp.stripe);
        let cached = self.views.get(&stamp.key_ref());
        if *version == stamp.version {
            let cached = cached.filter(|_| !changes_device);
            let polling_override = cached.and_then(|cached| cached.polling_override);
            self.views.insert(
                stamp.key(),
                CachedDevice {
                    view,
                    polling_override,
                },
            );
        } else if cached.is_none_or(|cached| cached.view != view) {
            self.views.remove(&stamp.key_ref());
        } else if changes_device {
            let polling_override = None;
            self.views.insert(
                stamp.key(),
                CachedDevice {
                    view,
                    polling_override,
                },
            );
        }
        *version += 1;
    }

    /// Forgets a device that was changed.
    pub(crate) fn invalidate(&self, tenant: TenantId, device_id: &str) {
        let mut version = self.lock(self.stripe(tenant, device_id));
        let key = KeyRef { tenant, device_id };
        self.views.remove(&key);
        self.groups.remove(&key);
        *version += 1;
    }

    /// Forgets everything.
    pub(crate) fn invalidate_all(&self) {
        for stripe in 0..VERSION_STRIPES {
            *self.lock(stripe) += 1;
        }
        self.views.clear();
        self.groups.clear();
    }

    fn stripe(&self, tenant: TenantId, device_id: &str) -> usize {
        self.hasher.hash_one((tenant, device_id)) as usize % VERSION_STRIPES
    }

    fn lock(&self, stripe: usize) -> MutexGuard<'_, u64> {
        self.versions[stripe]
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

impl VersionStamp<'_> {
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
    fn a_cached_device_is_small() {
        let bytes = size_of::<CachedDevice>();
        assert!(bytes <= 128, "{bytes} bytes");
    }

    #[test]
    fn a_million_devices_are_cached() {
        let model = ReadModel::default();
        let id = |number: u32| format!("device-{number}");
        for number in 0..1_000_000 {
            model.insert_read(model.stamp(LAB, &id(number)), view(1));
        }
        let forgotten = (0..1_000_000).filter(|number| model.get(LAB, &id(*number)).is_none());
        assert_eq!(forgotten.count(), 0);
        model.invalidate_all();
        assert_eq!(model.get(LAB, &id(7)), None);
    }

    #[test]
    fn a_read_is_cached_for_its_device_only() {
        let model = ReadModel::default();
        model.insert_read(model.stamp(LAB, "a"), view(1));
        assert_eq!(remembered(&model), Some(view(1)));
        assert_eq!(model.get(TenantId(2), "a"), None);
        assert_eq!(model.get(LAB, "b"), None);
        model.invalidate(LAB, "a");
        assert_eq!(remembered(&model), None);
    }

    #[test]
    fn a_stale_read_is_not_cached() {
        let model = ReadModel::default();
        let read = model.stamp(LAB, "a");
        model.insert_changed(model.stamp(LAB, "a"), view(2), false);
        model.insert_read(read, view(1));
        assert_eq!(remembered(&model), Some(view(2)));

        for forget in [
            |model: &ReadModel| model.invalidate(LAB, "a"),
            |model: &ReadModel| model.invalidate_all(),
        ] {
            let read = model.stamp(LAB, "a");
            forget(&model);
            model.insert_read(read, view(1));
            assert_eq!(remembered(&model), None);
        }
    }

    #[test]
    fn concurrent_changes_are_cached_only_if_they_agree() {
        let model = ReadModel::default();
        let (one, other) = (model.stamp(LAB, "a"), model.stamp(LAB, "a"));
        model.insert_changed(other, view(2), false);
        model.insert_changed(one, view(1), false);
        assert_eq!(remembered(&model), None);

        let (one, other) = (model.stamp(LAB, "a"), model.stamp(LAB, "a"));
        model.insert_changed(other, view(2), false);
        model.insert_changed(one, view(2), false);
        assert_eq!(
            remembered(&model),
            Some(view(2)),
            "whichever came last made this of it"
        );

        model.insert_changed(model.stamp(LAB, "a"), view(3), false);
        model.insert_changed(model.stamp(LAB, "a"), view(4), false);
        assert_eq!(
            remembered(&model),
            Some(view(4)),
            "one after the other is fine"
        );
    }

    #[test]
    fn a_cached_override_is_dropped_when_the_device_changes() {
        let model = ReadModel::default();
        let stamp = || model.stamp(LAB, "a");
        let polling_override = |index| CachedOverride {
            revision: 1,
            index: Some(index),
        };
        let current = || {
            model
                .polling_override(LAB, "a")
                .and_then(|polling_override| polling_override.index)
        };
        model.insert_override(stamp(), polling_override(1));
        assert_eq!(current(), None, "it is not remembered itself");
        model.insert_read(stamp(), view(1));
        assert_eq!(current(), None);
        model.insert_override(stamp(), polling_override(1));
        model.insert_changed(stamp(), view(2), false);
        assert_eq!((current(), remembered(&model)), (Some(1), Some(view(2))));
        let old = stamp();
        model.insert_changed(stamp(), view(2), true);
        assert_eq!(current(), None);
        model.insert_override(old, polling_override(1));
        assert_eq!(current(), None, "it was worked out of what was before");

        model.insert_override(stamp(), polling_override(2));
        let (one, other) = (stamp(), stamp());
        model.insert_changed(one, view(3), false);
        model.insert_changed(other, view(3), true);
        assert_eq!((current(), remembered(&model)), (None, Some(view(3))));
    }

    #[test]
    fn concurrent_reads_and_changes_leave_nothing_stale() {
        let model = ReadModel::default();
        // Stands for the store: what it holds is what a poll must see once everybody is done.
        let store = AtomicI64::new(0);
        let read = || view(store.load(Ordering::SeqCst) as i32);
        for _ in 0..200 {
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        let stamp = model.stamp(LAB, "a");
                        let view = read();
                        thread::yield_now();
                        model.insert_read(stamp, view);
                    });
                }
                for forgets in [false, false, true] {
                    let (model, store) = (&model, &store);
                    scope.spawn(move || {
                        let stamp = model.stamp(LAB, "a");
                        let now = store.fetch_add(1, Ordering::SeqCst) + 1;
                        thread::yield_now();
                        if forgets {
                            model.invalidate(LAB, "a");
                        } else {
                            model.insert_changed(stamp, view(now as i32), false);
                        }
                    });
                }
            });
            let seen = remembered(&model);
            assert!(seen.is_none() || seen == Some(read()), "{seen:?}");
        }
    }
}
