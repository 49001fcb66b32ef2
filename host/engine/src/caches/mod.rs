//! What the server keeps in memory to answer devices without the store.

mod auth_cache;
mod epoch;
mod firmware_cache;
mod last_use_buffer;
mod read_model;

use tidegate_core::id::TenantId;

pub(crate) use auth_cache::{CacheEntry, CachedGateway};
pub(crate) use read_model::CachedOverride;

use auth_cache::AuthCache;
use firmware_cache::FirmwareCache;
use read_model::{ReadModel, StripeVersions};

use crate::{
    last_seen_buffer::LastSeenBuffer, ports::AffectedDevice, retrieval_buffer::RetrievalBuffer,
};

/// What the server keeps in memory to answer devices. Use cases that change such data drop it here.
#[derive(Default)]
pub struct Caches {
    /// Answers polls.
    pub(crate) read_model: ReadModel,
    /// Tenants, gateways and device authorities, for authentication, and last uses of credentials.
    pub(crate) auth: AuthCache,
    /// The firmware that devices request.
    pub(crate) firmware: FirmwareCache,
    /// Last-seen times that are not written yet.
    pub(crate) last_seen: LastSeenBuffer,
    /// Retrievals of updates that are not recorded yet.
    pub(crate) retrievals: RetrievalBuffer,
}

impl Caches {
    /// Drops devices from the read model whose updates have changed: their next poll reads the store.
    pub fn invalidate_affected(&self, affected: &[AffectedDevice]) {
        for device in affected {
            self.invalidate_device(device.tenant, &device.device_id);
        }
    }

    /// Caches what polls of these devices show after their updates have changed. `before`: the versions before the change.
    pub(crate) fn publish_affected(&self, before: &StripeVersions, affected: Vec<AffectedDevice>) {
        for device in affected {
            match device.view {
                Some(view) => {
                    let stamp = self
                        .read_model
                        .stamp_of(before, device.tenant, &device.device_id);
                    self.read_model.insert_changed(stamp, *view, true);
                }
                None => self.invalidate_device(device.tenant, &device.device_id),
            }
        }
    }

    /// Drops a device from the read model that an operator or another server changed.
    pub fn invalidate_device(&self, tenant: TenantId, device_id: &str) {
        self.read_model.invalidate(tenant, device_id);
    }

    /// Drops all cached tenants after another server changed one.
    pub fn invalidate_tenants(&self) {
        self.auth.invalidate_tenants();
    }

    /// Marks all cached devices and tenants as outdated, because changes may have been missed.
    pub fn invalidate_all(&self) {
        self.auth.invalidate_tenants();
        self.read_model.invalidate_all();
    }

    /// Suspends the caches until [`Self::resume`], because changes of other servers are not received. Cached entries are
    /// then used for one purpose only: to tell a device that it has nothing to do while the store cannot be read.
    pub fn suspend(&self) {
        self.auth.suspend();
        self.read_model.suspend();
    }

    /// Changes of other servers arrive from now on.
    pub fn resume(&self) {
        self.auth.resume();
        self.read_model.resume();
    }
}
