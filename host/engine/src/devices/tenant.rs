use std::{sync::Arc, time::Duration};

use crate::{Engine, Error, Result, caches::Cached, ports::Tenant, tenants};

/// How long an unknown tenant name is cached. Known tenants stay cached until they change.
const ABSENT_TTL: Duration = Duration::from_secs(1);
/// Maximum length of a tenant name, in bytes.
const MAX_NAME: usize = 64;

/// The tenant of this name; case is ignored.
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
    let (read_at, tenant_version) = (engine.now(), engine.caches.auth.tenant_version());
    let value = tenants::by_name(engine.store(), name).await?.map(Arc::new);
    let cached = Cached {
        value: value.clone(),
        read_at,
    };
    engine
        .caches
        .auth
        .insert_tenant(tenant_version, name, cached);
    value.ok_or_else(absent)
}
