use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};
use quick_cache::{Equivalent, sync::Cache};
use tidegate_core::id::TenantId;

use super::epoch::Epoch;
use crate::ports::PollView;

/// Maximum number of cached devices; others are read from the store. One million fit, however they are distributed over
/// the cache's shards.
const CAPACITY: usize = 1 << 20;
/// Devices share version counters: a change of one device may prevent another from being cached, nothing more.
const VERSION_STRIPES: usize = 16_384;

/// Caches the responses to polls; the store answers for devices that are not cached.
///
/// Reads and changes are concurrent, so a result may be stale when it arrives. A `VersionStamp` is taken before each of
/// them, and the result is cached only if nothing has changed since.
pub(crate) struct ReadModel {
    views: Cache<Key, CachedDevice>,
    /// Groups of devices that use gateways that are restricted to a group.
    groups: Cache<Key, (u32, Arc<[String]>)>,
    epoch: Epoch,
    /// Per stripe: the number of changes.
    versions: Box<[Mutex<u64>]>,
    hasher: RandomState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct CachedDevice {
    view: PollView,
    /// The epoch in which it was cached.
    epoch: u32,
    override_match: OverrideMatch,
    /// The revision of the settings with that override. Apart from it, so that an entry stays small.
    override_revision: i64,
}

/// Which polling override of the tenant's settings matches a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OverrideMatch {
    NotComputed,
    Nothing,
    Index(u8),
}

impl CachedDevice {
    fn polling_override(&self) -> Option<CachedOverride> {
        let index = match self.override_match {
            OverrideMatch::NotComputed => return None,
            OverrideMatch::Nothing => None,
            OverrideMatch::Index(index) => Some(index),
        };
        Some(CachedOverride {
            revision: self.override_revision,
            index,
        })
    }
}

/// The polling override of the tenant's settings that matches a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CachedOverride {
    /// The revision of the settings.
    pub(crate) revision: i64,
    /// `None`: no override matches.
    pub(crate) index: Option<u8>,
}

/// The version of a device's stripe, taken before the device is read or changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VersionStamp<'a> {
    tenant: TenantId,
    device_id: &'a str,
    stripe: usize,
    version: u64,
}

/// The version of each stripe at one time.
pub(crate) struct StripeVersions(Box<[u64]>);

impl Default for ReadModel {
    fn default() -> Self {
        Self {
            views: Cache::new(CAPACITY),
            groups: Cache::new(CAPACITY),
            epoch: Epoch::default(),
            versions: (0..VERSION_STRIPES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl ReadModel {
    /// The cached poll view of a device.
    pub(crate) fn get(&self, tenant: TenantId, device_id: &str) -> Option<PollView> {
        let cached = self.current(&KeyRef { tenant, device_id })?;
        Some(cached.view)
    }

    /// The poll view of a device as it was last known, current or not.
    pub(crate) fn last_known(&self, tenant: TenantId, device_id: &str) -> Option<PollView> {
        let cached = self.views.get(&KeyRef { tenant, device_id })?;
        Some(cached.view)
    }

    fn current(&self, key: &KeyRef<'_>) -> Option<CachedDevice> {
        let cached = self.views.get(key)?;
        self.epoch.is_current(cached.epoch).then_some(cached)
    }

    fn cached(&self, view: PollView, polling_override: Option<CachedOverride>) -> CachedDevice {
        CachedDevice {
            view,
            epoch: self.epoch.now(),
            override_match: match polling_override {
                None => OverrideMatch::NotComputed,
                Some(CachedOverride { index: None, .. }) => OverrideMatch::Nothing,
                Some(CachedOverride {
                    index: Some(index), ..
                }) => OverrideMatch::Index(index),
            },
            override_revision: polling_override.map_or(0, |cached| cached.revision),
        }
    }

    /// The cached polling override of a device.
    pub(crate) fn polling_override(
        &self,
        tenant: TenantId,
        device_id: &str,
    ) -> Option<CachedOverride> {
        self.current(&KeyRef { tenant, device_id })?
            .polling_override()
    }

    /// Caches the polling override of a cached device, unless the stripe has changed since the stamp was taken.
    pub(crate) fn insert_override(
        &self,
        stamp: VersionStamp<'_>,
        polling_override: CachedOverride,
    ) {
        let version = self.lock(stamp.stripe);
        if *version == stamp.version
            && let Some(cached) = self.current(&stamp.key_ref())
        {
            let cached = self.cached(cached.view, Some(polling_override));
            self.views.insert(stamp.key(), cached);
        }
    }

    /// The cached groups of a device.
    pub(crate) fn groups(&self, tenant: TenantId, device_id: &str) -> Option<Arc<[String]>> {
        let (epoch, groups) = self.groups.get(&KeyRef { tenant, device_id })?;
        self.epoch.is_current(epoch).then_some(groups)
    }

    /// The groups of a device as they were last known, current or not.
    pub(crate) fn last_known_groups(
        &self,
        tenant: TenantId,
        device_id: &str,
    ) -> Option<Arc<[String]>> {
        let (_, groups) = self.groups.get(&KeyRef { tenant, device_id })?;
        Some(groups)
    }

    /// Caches the groups of a device, unless the stripe has changed since the stamp was taken. Reports of devices
    /// change no groups; operations that do invalidate the device.
    pub(crate) fn insert_groups(&self, stamp: VersionStamp<'_>, groups: Arc<[String]>) {
        let version = self.lock(stamp.stripe);
        if *version == stamp.version {
            self.groups.insert(stamp.key(), (self.epoch.now(), groups));
        }
    }

    /// Takes a stamp before a device is read or changed.
    pub(crate) fn stamp<'a>(&self, tenant: TenantId, device_id: &'a str) -> VersionStamp<'a> {
        let stripe = self.stripe(tenant, device_id);
        VersionStamp {
            tenant,
            device_id,
            stripe,
            version: *self.lock(stripe),
        }
    }

    /// The versions of all stripes, taken before a transaction changes devices that it selects itself.
    pub(crate) fn versions(&self) -> StripeVersions {
        let versions = self.versions.iter();
        StripeVersions(versions.map(|version| *version.lock()).collect())
    }

    /// The stamp of a device that was changed after these versions were taken.
    pub(crate) fn stamp_of<'a>(
        &self,
        versions: &StripeVersions,
        tenant: TenantId,
        device_id: &'a str,
    ) -> VersionStamp<'a> {
        let stripe = self.stripe(tenant, device_id);
        VersionStamp {
            tenant,
            device_id,
            stripe,
            version: versions.0[stripe],
        }
    }

    /// Caches a poll view that was read, unless the stripe has changed since the stamp was taken.
    pub(crate) fn insert_read(&self, stamp: VersionStamp<'_>, view: PollView) {
        let version = self.lock(stamp.stripe);
        if *version == stamp.version {
            self.views.insert(stamp.key(), self.cached(view, None));
        }
    }

    /// Caches the poll view that results from a change. `changes_device`: attributes, versions or state changed, so the
    /// polling override must be computed again. If another change was made since the stamp was taken, the order of the
    /// two in the store is unknown: the device is dropped unless both produced the same view, as two changes of one
    /// transaction do.
    pub(crate) fn insert_changed(
        &self,
        stamp: VersionStamp<'_>,
        view: PollView,
        changes_device: bool,
    ) {
        let mut version = self.lock(stamp.stripe);
        let cached = self.current(&stamp.key_ref());
        if *version == stamp.version {
            let cached = cached.filter(|_| !changes_device);
            let polling_override = cached.and_then(|cached| cached.polling_override());
            self.views
                .insert(stamp.key(), self.cached(view, polling_override));
        } else if cached.is_none_or(|cached| cached.view != view) {
            self.views.remove(&stamp.key_ref());
        } else if changes_device {
            self.views.insert(stamp.key(), self.cached(view, None));
        }
        *version += 1;
    }

    /// Drops a device that was changed.
    pub(crate) fn invalidate(&self, tenant: TenantId, device_id: &str) {
        let mut version = self.lock(self.stripe(tenant, device_id));
        let key = KeyRef { tenant, device_id };
        self.views.remove(&key);
        self.groups.remove(&key);
        *version += 1;
    }

    /// Marks all entries as outdated.
    pub(crate) fn invalidate_all(&self) {
        self.outdate_stamps();
        self.epoch.outdate();
    }

    /// Nothing is current until [`Self::resume`]: changes of other servers do not arrive.
    pub(crate) fn suspend(&self) {
        self.epoch.suspend();
    }

    /// Ends a suspension: new entries are current.
    pub(crate) fn resume(&self) {
        self.outdate_stamps();
        self.epoch.renew();
    }

    /// Prevents that data which was read before is cached. Called before the epoch changes: entries that are added until
    /// then belong to the earlier epoch.
    fn outdate_stamps(&self) {
        for stripe in 0..VERSION_STRIPES {
            *self.lock(stripe) += 1;
        }
    }

    fn stripe(&self, tenant: TenantId, device_id: &str) -> usize {
        self.hasher.hash_one((tenant, device_id)) as usize % VERSION_STRIPES
    }

    fn lock(&self, stripe: usize) -> MutexGuard<'_, u64> {
        self.versions[stripe].lock()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: TenantId,
    device_id: Box<str>,
}

/// Looks up a [`Key`] without allocating one; both hash alike.
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

    fn cached_view(model: &ReadModel) -> Option<PollView> {
        model.get(LAB, "a")
    }

    /// One exists for each of a million devices, so rare parts are boxed: a window costs one pointer.
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
        assert_eq!(cached_view(&model), Some(view(1)));
        assert_eq!(model.get(TenantId(2), "a"), None);
        assert_eq!(model.get(LAB, "b"), None);
        model.invalidate(LAB, "a");
        assert_eq!(cached_view(&model), None);
    }

    #[test]
    fn an_outdated_view_is_still_known() {
        let model = ReadModel::default();
        let last_known = || model.last_known(LAB, "a");
        model.insert_read(model.stamp(LAB, "a"), view(1));
        model.invalidate_all();
        assert_eq!((cached_view(&model), last_known()), (None, Some(view(1))));
        model.insert_read(model.stamp(LAB, "a"), view(2));
        assert_eq!(cached_view(&model), Some(view(2)));

        model.suspend();
        assert_eq!((cached_view(&model), last_known()), (None, Some(view(2))));
        model.insert_read(model.stamp(LAB, "a"), view(3));
        model.invalidate_all();
        model.suspend();
        model.insert_changed(model.stamp(LAB, "a"), view(4), false);
        assert_eq!((cached_view(&model), last_known()), (None, Some(view(4))));
        model.resume();
        assert_eq!((cached_view(&model), last_known()), (None, Some(view(4))));
        model.insert_read(model.stamp(LAB, "a"), view(5));
        assert_eq!(cached_view(&model), Some(view(5)));

        model.invalidate(LAB, "a");
        assert_eq!(last_known(), None, "the device itself has changed");
    }

    #[test]
    fn a_stale_read_is_not_cached() {
        let model = ReadModel::default();
        let read = model.stamp(LAB, "a");
        model.insert_changed(model.stamp(LAB, "a"), view(2), false);
        model.insert_read(read, view(1));
        assert_eq!(cached_view(&model), Some(view(2)));

        for forget in [
            |model: &ReadModel| model.invalidate(LAB, "a"),
            |model: &ReadModel| model.invalidate_all(),
        ] {
            let read = model.stamp(LAB, "a");
            forget(&model);
            model.insert_read(read, view(1));
            assert_eq!(cached_view(&model), None);
        }
    }

    #[test]
    fn concurrent_changes_are_cached_only_if_they_agree() {
        let model = ReadModel::default();
        let (one, other) = (model.stamp(LAB, "a"), model.stamp(LAB, "a"));
        model.insert_changed(other, view(2), false);
        model.insert_changed(one, view(1), false);
        assert_eq!(cached_view(&model), None);

        let (one, other) = (model.stamp(LAB, "a"), model.stamp(LAB, "a"));
        model.insert_changed(other, view(2), false);
        model.insert_changed(one, view(2), false);
        assert_eq!(
            cached_view(&model),
            Some(view(2)),
            "both changes produced this view"
        );

        model.insert_changed(model.stamp(LAB, "a"), view(3), false);
        model.insert_changed(model.stamp(LAB, "a"), view(4), false);
        assert_eq!(
            cached_view(&model),
            Some(view(4)),
            "sequential changes are cached"
        );
    }

    #[test]
    fn a_view_is_not_cached_if_its_device_changed_after_the_versions_were_taken() {
        let model = ReadModel::default();
        let before = model.versions();
        model.insert_changed(model.stamp_of(&before, LAB, "a"), view(1), true);
        assert_eq!(cached_view(&model), Some(view(1)));

        let before = model.versions();
        model.insert_changed(model.stamp(LAB, "a"), view(2), false);
        model.insert_changed(model.stamp_of(&before, LAB, "a"), view(3), true);
        assert_eq!(cached_view(&model), None);
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
        assert_eq!(current(), None, "the device is not cached");
        model.insert_read(stamp(), view(1));
        assert_eq!(current(), None);
        model.insert_override(stamp(), polling_override(1));
        model.insert_changed(stamp(), view(2), false);
        assert_eq!((current(), cached_view(&model)), (Some(1), Some(view(2))));
        let old = stamp();
        model.insert_changed(stamp(), view(2), true);
        assert_eq!(current(), None);
        model.insert_override(old, polling_override(1));
        assert_eq!(current(), None, "it was computed before the change");

        model.insert_override(stamp(), polling_override(2));
        let (one, other) = (stamp(), stamp());
        model.insert_changed(one, view(3), false);
        model.insert_changed(other, view(3), true);
        assert_eq!((current(), cached_view(&model)), (None, Some(view(3))));
    }

    #[test]
    fn concurrent_reads_and_changes_leave_nothing_stale() {
        let model = ReadModel::default();
        // Stands for the store: polls must see its value once all threads are done.
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
            let seen = cached_view(&model);
            assert!(seen.is_none() || seen == Some(read()), "{seen:?}");
        }
    }
}
