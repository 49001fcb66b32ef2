use std::{sync::Arc, time::Duration};

use crate::{Engine, Error, Result, caches::CacheEntry, ports::Tenant, tenants};

/// How long an unknown tenant name is cached. Known tenants stay cached until they change.
const ABSENT_TTL: Duration = Duration::from_secs(1);
/// Maximum length of a tenant name, in bytes.
const MAX_NAME: usize = 64;

/// The tenant of this name; case is ignored. While the store cannot be read, the tenant as it was last known.
pub async fn tenant(engine: &Engine, name: &str) -> Result<Arc<Tenant>> {
    let absent = || Error::not_found("tenant", name);
    if name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(absent());
    }
    if let Some(cached) = engine.caches.auth.tenant(name) {
        match cached.value {
            Some(tenant) => return Ok(tenant),
            None if cached.is_fresh(engine.now(), ABSENT_TTL) => return Err(absent()),
            None => {}
        }
    }
    let (read_at, epoch) = (engine.now(), engine.caches.auth.tenant_epoch());
    let value = match tenants::by_name(engine.store(), name).await {
        Ok(tenant) => tenant.map(Arc::new),
        Err(error @ Error::Unavailable { .. }) => {
            return engine.caches.auth.last_known_tenant(name).ok_or(error);
        }
        Err(error) => return Err(error),
    };
    let cached = CacheEntry {
        value: value.clone(),
        read_at,
    };
    engine.caches.auth.insert_tenant(epoch, name, cached);
    value.ok_or_else(absent)
}
