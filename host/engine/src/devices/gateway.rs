use std::{sync::Arc, time::Duration};

use subtle::ConstantTimeEq as _;
use tidegate_core::id::TenantId;

use crate::{
    Engine, Result,
    caches::{CacheEntry, CachedGateway},
    ports::{GatewayUse, StoreError},
};

/// How long a tenant's gateways are cached.
const CACHE_TTL: Duration = Duration::from_secs(10);
/// Maximum age of the cache when it does not contain a token: a new gateway works after this time.
const MISS_TTL: Duration = Duration::from_secs(1);

/// The devices that a gateway may act for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GatewayScope {
    /// The devices of this group; `None`: all devices of the tenant.
    pub(super) group: Option<Arc<str>>,
}

/// The scope of the gateway whose token has this sha256.
pub(super) async fn find_gateway_scope(
    engine: &Engine,
    tenant: TenantId,
    token_sha256: &[u8; 32],
) -> Result<Option<GatewayScope>> {
    let now = engine.now();
    let mut cached = engine.caches.auth.gateways.get(&tenant);
    if cached
        .as_ref()
        .is_none_or(|cached| !cached.is_fresh(now, CACHE_TTL))
    {
        cached = None;
    }
    if let Some(cached) = &cached {
        if let Some(found) = find_by_token(&cached.value, token_sha256) {
            return Ok(Some(scope_of(engine, tenant, found)));
        }
        if cached.is_fresh(now, MISS_TTL) {
            return Ok(None);
        }
    }
    let gateways = match engine.store().gateways(tenant).await {
        Ok(gateways) => gateways,
        // The gateways as they were last known.
        Err(error @ StoreError::Unavailable(_)) => {
            let Some(known) = engine.caches.auth.gateways.get(&tenant) else {
                return Err(error.into());
            };
            let found = find_by_token(&known.value, token_sha256).ok_or(error)?;
            return Ok(Some(scope_of(engine, tenant, found)));
        }
        Err(error) => return Err(error.into()),
    };
    let value: Arc<[_]> = gateways.into_iter().map(CachedGateway::new).collect();
    let found = find_by_token(&value, token_sha256).map(|found| scope_of(engine, tenant, found));
    engine.caches.auth.gateways.insert(
        tenant,
        CacheEntry {
            value,
            read_at: now,
        },
    );
    Ok(found)
}

/// Compares with every gateway, so that the duration reveals nothing.
fn find_by_token<'a>(
    cached: &'a [CachedGateway],
    token_sha256: &[u8; 32],
) -> Option<&'a CachedGateway> {
    cached.iter().fold(None, |found, cached| {
        let is_match: bool = cached.gateway.sha256.ct_eq(token_sha256).into();
        if is_match { Some(cached) } else { found }
    })
}

fn scope_of(engine: &Engine, tenant: TenantId, cached: &CachedGateway) -> GatewayScope {
    let at = engine.now();
    if cached.is_recording_due(at) {
        let gateway = cached.gateway.id;
        engine.caches.auth.record_use(GatewayUse {
            tenant,
            gateway,
            at,
        });
    }
    GatewayScope {
        group: cached.gateway.group.clone(),
    }
}
