use std::{sync::Arc, time::Duration};

use tidegate_core::time::Timestamp;

use super::DeviceWait;
use crate::{
    Caches, Error, Result,
    caches::CacheEntry,
    ports::{Store, Tenant},
    tenants,
};

/// How long an unknown tenant name is cached. Known tenants stay cached until they change.
const ABSENT_TTL: Duration = Duration::from_secs(1);
/// Maximum length of a tenant name, in bytes.
const MAX_NAME: usize = 64;

/// The tenant of this name; case is ignored. While the store cannot be read, the tenant as it was last known.
pub async fn tenant(
    store: &dyn Store,
    caches: &Caches,
    name: &str,
    now: Timestamp,
    wait: &DeviceWait,
) -> Result<Arc<Tenant>> {
    let absent = || Error::not_found("tenant", name);
    if name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(absent());
    }
    if let Some(entry) = caches.auth.tenant(name) {
        match entry.value {
            Some(tenant) => return Ok(tenant),
            None if entry.is_fresh(now, ABSENT_TTL) => return Err(absent()),
            None => {}
        }
    }
    let epoch = caches.auth.tenant_epoch();
    let value = match wait.bound(tenants::by_name(store, name)).await {
        Ok(tenant) => tenant.map(Arc::new),
        Err(error @ Error::Unavailable { .. }) => {
            return caches.auth.last_known_tenant(name).ok_or(error);
        }
        Err(error) => return Err(error),
    };
    let entry = CacheEntry {
        value: value.clone(),
        read_at: now,
    };
    caches.auth.insert_tenant(epoch, name, entry);
    value.ok_or_else(absent)
}
