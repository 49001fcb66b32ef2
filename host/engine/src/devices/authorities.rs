use std::{sync::Arc, time::Duration};

use tidegate_core::{id::TenantId, time::Timestamp};

use super::DeviceWait;
use crate::{
    Caches, Result,
    caches::CacheEntry,
    ports::{Authority, Store, StoreError},
};

/// How long a tenant's authorities are cached.
const CACHE_TTL: Duration = Duration::from_secs(10);

/// The tenant's certificate authorities, from the cache or the store. Callers may cache results by the identity of this
/// list: a new list is returned after every change and every ten seconds.
pub async fn authorities(
    store: &dyn Store,
    caches: &Caches,
    tenant: TenantId,
    now: Timestamp,
    wait: &DeviceWait,
) -> Result<Arc<[Authority]>> {
    if let Some(entry) = caches.auth.authorities.get(&tenant)
        && entry.is_fresh(now, CACHE_TTL)
    {
        return Ok(entry.value);
    }
    let value: Arc<[Authority]> = match wait.bound(store.authorities(tenant)).await {
        Ok(authorities) => authorities.into(),
        // The authorities as they were last known.
        Err(error @ StoreError::Unavailable(_)) => {
            let known = caches.auth.authorities.get(&tenant).ok_or(error)?;
            return Ok(known.value);
        }
        Err(error) => return Err(error.into()),
    };
    let entry = CacheEntry {
        value: Arc::clone(&value),
        read_at: now,
    };
    caches.auth.authorities.insert(tenant, entry);
    Ok(value)
}
