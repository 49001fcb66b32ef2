use std::{sync::Arc, time::Duration};

use subtle::ConstantTimeEq as _;
use tidegate_core::{id::TenantId, time::Timestamp};

use super::DeviceWait;
use crate::{
    Caches, Result,
    caches::{CacheEntry, CachedGateway},
    ports::{Store, StoreError},
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
    store: &dyn Store,
    caches: &Caches,
    tenant: TenantId,
    token_sha256: &[u8; 32],
    now: Timestamp,
    wait: &DeviceWait,
) -> Result<Option<GatewayScope>> {
    let mut entry = caches.auth.gateways.get(&tenant);
    if entry
        .as_ref()
        .is_none_or(|entry| !entry.is_fresh(now, CACHE_TTL))
    {
        entry = None;
    }
    if let Some(entry) = &entry {
        if let Some(found) = find_by_token(&entry.value, token_sha256) {
            return Ok(Some(scope_of(caches, tenant, found, now)));
        }
        if entry.is_fresh(now, MISS_TTL) {
            return Ok(None);
        }
    }
    let gateways = match wait.bound(store.gateways(tenant)).await {
        Ok(gateways) => gateways,
        // The gateways as they were last known.
        Err(error @ StoreError::Unavailable(_)) => {
            let Some(known) = caches.auth.gateways.get(&tenant) else {
                return Err(error.into());
            };
            let found = find_by_token(&known.value, token_sha256).ok_or(error)?;
            return Ok(Some(scope_of(caches, tenant, found, now)));
        }
        Err(error) => return Err(error.into()),
    };
    let value: Arc<[_]> = gateways.into_iter().map(CachedGateway::new).collect();
    let found =
        find_by_token(&value, token_sha256).map(|found| scope_of(caches, tenant, found, now));
    caches.auth.gateways.insert(
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
    gateways: &'a [CachedGateway],
    token_sha256: &[u8; 32],
) -> Option<&'a CachedGateway> {
    gateways.iter().fold(None, |found, entry| {
        let is_match: bool = entry.gateway.sha256.ct_eq(token_sha256).into();
        if is_match { Some(entry) } else { found }
    })
}

fn scope_of(
    caches: &Caches,
    tenant: TenantId,
    entry: &CachedGateway,
    at: Timestamp,
) -> GatewayScope {
    if entry.is_recording_due(at) {
        let gateway = entry.gateway.id;
        caches.auth.gateway_uses.record(tenant, gateway, at);
    }
    GatewayScope {
        group: entry.gateway.group.clone(),
    }
}
