use std::{sync::Arc, time::Duration};

use tidegate_core::id::TenantId;

use crate::{
    Engine, Result,
    caches::CacheEntry,
    ports::{Authority, StoreError},
};

/// How long a tenant's authorities are cached.
const CACHE_TTL: Duration = Duration::from_secs(10);

/// The tenant's certificate authorities, from the cache or the store. Callers may cache results by the identity of this
/// list: a new list is returned after every change and every ten seconds.
pub async fn authorities(engine: &Engine, tenant: TenantId) -> Result<Arc<[Authority]>> {
    let now = engine.now();
    if let Some(cached) = engine.caches.auth.authorities.get(&tenant)
        && cached.is_fresh(now, CACHE_TTL)
    {
        return Ok(cached.value);
    }
    let value: Arc<[Authority]> = match engine.store().authorities(tenant).await {
        Ok(authorities) => authorities.into(),
        // The authorities as they were last known.
        Err(error @ StoreError::Unavailable(_)) => {
            let known = engine.caches.auth.authorities.get(&tenant).ok_or(error)?;
            return Ok(known.value);
        }
        Err(error) => return Err(error.into()),
    };
    let cached = CacheEntry {
        value: Arc::clone(&value),
        read_at: now,
    };
    engine.caches.auth.authorities.insert(tenant, cached);
    Ok(value)
}
