use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;
use tidegate_core::{
    id::{GatewayId, TenantId},
    time::Timestamp,
};

use crate::ports::{Authority, Gateway, GatewayUse, Tenant};

/// Most tenants, by every spelling that devices use.
const CAPACITY: usize = 10_000;
/// A gateway that is used all the time is noted this often, in milliseconds.
const NOTED_EVERY: i64 = 1000;

/// Which tenants there are and what opens their doors, remembered so that a poll needs no store.
pub struct Doors {
    /// By the name as it was asked for.
    tenants: Cache<Box<str>, Remembered<Option<Arc<Tenant>>>>,
    /// How often a tenant was changed: what was read before may be old.
    changes: Mutex<u64>,
    /// Every gateway of a tenant.
    pub(super) gateways: Cache<TenantId, Remembered<Arc<[KnownGateway]>>>,
    /// Every authority of a tenant.
    pub(super) authorities: Cache<TenantId, Remembered<Arc<[Authority]>>>,
    /// Gateways that were used since this was last written.
    used: Mutex<HashMap<(TenantId, GatewayId), Timestamp>>,
}

/// A gateway, and when it was last noted that it is used.
#[derive(Debug)]
pub(super) struct KnownGateway {
    pub(super) gateway: Gateway,
    noted: AtomicI64,
}

/// What the store said, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remembered<T> {
    pub(super) said: T,
    pub(super) at: Timestamp,
}

impl Default for Doors {
    fn default() -> Self {
        Self {
            tenants: Cache::new(CAPACITY),
            changes: Mutex::default(),
            gateways: Cache::new(CAPACITY),
            authorities: Cache::new(CAPACITY),
            used: Mutex::default(),
        }
    }
}

impl Doors {
    /// What is remembered under this name.
    pub(super) fn tenant(&self, name: &str) -> Option<Remembered<Option<Arc<Tenant>>>> {
        self.tenants.get(name)
    }

    /// To be asked before a tenant is read.
    pub(super) fn changes(&self) -> u64 {
        *self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what was read, unless a tenant was changed since `changes` was asked for.
    pub(super) fn tenant_was_read(
        &self,
        changes: u64,
        name: &str,
        read: Remembered<Option<Arc<Tenant>>>,
    ) {
        let now = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if *now == changes {
            self.tenants.insert(name.into(), read);
        }
    }

    /// Forgets all tenants: one of them was changed, here or by another host.
    pub(crate) fn forget_tenants(&self) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        self.tenants.clear();
        *changes += 1;
    }

    /// Has the next one who comes to a tenant's door look into the store for its gateways.
    pub(crate) fn forget_gateways(&self, tenant: TenantId) {
        self.gateways.remove(&tenant);
    }

    /// Likewise for its authorities.
    pub(crate) fn forget_authorities(&self, tenant: TenantId) {
        self.authorities.remove(&tenant);
    }

    /// Notes that a gateway was used; the latest time stays.
    pub(crate) fn note_used(&self, used: GatewayUse) {
        let mut times = self.used();
        let time = times.entry((used.tenant, used.gateway)).or_insert(used.at);
        *time = used.at.max(*time);
    }

    /// Everything that was noted since the last time.
    pub(crate) fn take_used(&self) -> Vec<GatewayUse> {
        let times = std::mem::take(&mut *self.used());
        let used = times.into_iter();
        used.map(|((tenant, gateway), at)| GatewayUse {
            tenant,
            gateway,
            at,
        })
        .collect()
    }

    fn used(&self) -> MutexGuard<'_, HashMap<(TenantId, GatewayId), Timestamp>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownGateway {
    pub(super) fn new(gateway: Gateway) -> Self {
        Self {
            gateway,
            noted: AtomicI64::new(i64::MIN),
        }
    }

    /// Whether it is to be noted that it is used: the first time, and then now and again.
    pub(super) fn is_to_be_noted(&self, now: Timestamp) -> bool {
        let noted = self.noted.load(Ordering::Relaxed);
        let is_due = now.0 < noted || now.0.saturating_sub(noted) >= NOTED_EVERY;
        if is_due {
            self.noted.store(now.0, Ordering::Relaxed);
        }
        is_due
    }
}

impl<T> Remembered<T> {
    /// Whether it is not older than that. A clock that went back makes it old.
    pub(super) fn is_fresh(&self, now: Timestamp, longest: Duration) -> bool {
        now >= self.at && now.since(self.at) < longest
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::settings::TenantSettings;

    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_remembered() {
        let doors = Doors::default();
        let read = |revision| Remembered {
            said: Some(Arc::new(Tenant {
                id: TenantId(1),
                name: "LAB".to_owned(),
                settings: TenantSettings::default(),
                settings_revision: revision,
            })),
            at: Timestamp(0),
        };
        let remembered = || Some(doors.tenant("lab")?.said?.settings_revision);
        doors.tenant_was_read(doors.changes(), "lab", read(0));
        assert_eq!(remembered(), Some(0));
        let old = doors.changes();
        doors.forget_tenants();
        assert_eq!(remembered(), None);
        doors.tenant_was_read(old, "lab", read(0));
        assert_eq!(remembered(), None);
        doors.tenant_was_read(doors.changes(), "lab", read(1));
        assert_eq!(remembered(), Some(1));
    }
}
