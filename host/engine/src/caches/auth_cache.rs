use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tidegate_core::{
    id::{GatewayId, TenantId},
    time::Timestamp,
};

use super::{epoch::Epoch, last_use_buffer::LastUseBuffer};
use crate::ports::{Authority, Gateway, Tenant};

/// Maximum number of cached tenants; each spelling of a name counts.
const MAX_TENANTS: usize = 10_000;
/// Minimum time between two recorded uses of a gateway, in milliseconds.
const USE_RECORDING_INTERVAL_MS: i64 = 1000;

/// Caches tenants, gateways and authorities, so that authenticating a poll needs no database access.
pub(crate) struct AuthCache {
    /// By name, as devices spell it, with the epoch in which it was cached.
    tenants: Cache<Box<str>, (u32, CachedTenant)>,
    /// Changes when a tenant changes.
    tenant_epoch: Epoch,
    /// Held while a tenant is cached or the epoch changes.
    tenant_lock: Mutex<()>,
    /// All gateways of each tenant.
    pub(crate) gateways: Cache<TenantId, CacheEntry<Arc<[CachedGateway]>>>,
    /// All authorities of each tenant.
    pub(crate) authorities: Cache<TenantId, CacheEntry<Arc<[Authority]>>>,
    /// Last uses of gateways.
    pub(crate) gateway_uses: LastUseBuffer<GatewayId>,
    /// Last uses of API keys, by their sha256.
    pub(crate) key_uses: LastUseBuffer<[u8; 32]>,
}

/// A look-up of a tenant's name.
type CachedTenant = CacheEntry<Option<Arc<Tenant>>>;

/// A gateway with the time of its last recorded use.
#[derive(Debug)]
pub(crate) struct CachedGateway {
    pub(crate) gateway: Gateway,
    last_recorded: AtomicI64,
}

/// A value with the time at which it was read from the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CacheEntry<T> {
    pub(crate) value: T,
    pub(crate) read_at: Timestamp,
}

impl Default for AuthCache {
    fn default() -> Self {
        Self {
            tenants: Cache::new(MAX_TENANTS),
            tenant_epoch: Epoch::default(),
            tenant_lock: Mutex::default(),
            gateways: Cache::new(MAX_TENANTS),
            authorities: Cache::new(MAX_TENANTS),
            gateway_uses: LastUseBuffer::default(),
            key_uses: LastUseBuffer::default(),
        }
    }
}

impl AuthCache {
    /// The cached look-up of this name.
    pub(crate) fn tenant(&self, name: &str) -> Option<CachedTenant> {
        let (epoch, cached) = self.tenants.get(name)?;
        self.tenant_epoch.is_current(epoch).then_some(cached)
    }

    /// The tenant of this name as it was last known, current or not.
    pub(crate) fn last_known_tenant(&self, name: &str) -> Option<Arc<Tenant>> {
        let (_, cached) = self.tenants.get(name)?;
        cached.value
    }

    /// The current epoch, to be taken before a tenant is read.
    pub(crate) fn tenant_epoch(&self) -> u32 {
        self.tenant_epoch.now()
    }

    /// Caches a look-up, unless a tenant has changed since `epoch` was taken.
    pub(crate) fn insert_tenant(&self, epoch: u32, name: &str, read: CachedTenant) {
        let _lock = self.tenant_lock.lock();
        if self.tenant_epoch.now() == epoch {
            self.tenants.insert(name.into(), (epoch, read));
        }
    }

    /// No cached tenant is current any more: one of them was changed, here or by another server.
    pub(crate) fn invalidate_tenants(&self) {
        let _lock = self.tenant_lock.lock();
        self.tenant_epoch.outdate();
    }

    /// No tenant is current until [`Self::resume`]: changes of other servers do not arrive.
    pub(crate) fn suspend(&self) {
        let _lock = self.tenant_lock.lock();
        self.tenant_epoch.suspend();
    }

    /// Tenants that are cached from now on are current.
    pub(crate) fn resume(&self) {
        let _lock = self.tenant_lock.lock();
        self.tenant_epoch.renew();
    }

    pub(crate) fn invalidate_gateways(&self, tenant: TenantId) {
        self.gateways.remove(&tenant);
    }

    pub(crate) fn invalidate_authorities(&self, tenant: TenantId) {
        self.authorities.remove(&tenant);
    }
}

impl CachedGateway {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self {
            gateway,
            last_recorded: AtomicI64::new(i64::MIN),
        }
    }

    /// Whether a use must be recorded: the first one, and then one per interval.
    pub(crate) fn is_recording_due(&self, now: Timestamp) -> bool {
        let last_recorded = self.last_recorded.load(Ordering::Relaxed);
        let is_due = now.0 < last_recorded
            || now.0.saturating_sub(last_recorded) >= USE_RECORDING_INTERVAL_MS;
        if is_due {
            self.last_recorded.store(now.0, Ordering::Relaxed);
        }
        is_due
    }
}

impl<T> CacheEntry<T> {
    /// Whether the value is younger than `ttl`. After a clock jump backwards it counts as stale.
    pub(crate) fn is_fresh(&self, now: Timestamp, ttl: Duration) -> bool {
        now >= self.read_at && now.since(self.read_at) < ttl
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::settings::TenantSettings;

    use super::*;

    #[test]
    fn a_stale_tenant_is_not_cached() {
        let auth_cache = AuthCache::default();
        let read = |revision| CacheEntry {
            value: Some(Arc::new(Tenant {
                id: TenantId(1),
                name: "LAB".to_owned(),
                settings: TenantSettings::default(),
                settings_revision: revision,
            })),
            read_at: Timestamp(0),
        };
        let cached = || Some(auth_cache.tenant("lab")?.value?.settings_revision);
        auth_cache.insert_tenant(auth_cache.tenant_epoch(), "lab", read(0));
        assert_eq!(cached(), Some(0));
        let old = auth_cache.tenant_epoch();
        auth_cache.invalidate_tenants();
        assert_eq!(cached(), None);
        auth_cache.insert_tenant(old, "lab", read(0));
        assert_eq!(cached(), None);
        auth_cache.insert_tenant(auth_cache.tenant_epoch(), "lab", read(1));
        assert_eq!(cached(), Some(1));
        auth_cache.suspend();
        auth_cache.insert_tenant(auth_cache.tenant_epoch(), "lab", read(2));
        assert_eq!(cached(), None);
        let known = auth_cache.last_known_tenant("lab");
        assert_eq!(known.map(|tenant| tenant.settings_revision), Some(2));
        auth_cache.resume();
        assert_eq!(cached(), None);
    }
}
