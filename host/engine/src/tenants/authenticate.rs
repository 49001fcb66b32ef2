use std::sync::Arc;

use tidegate_core::time::Timestamp;

use crate::{
    Actor, ActorKind, Caches, Ctx, Result, fingerprint,
    ports::{Store, Tenant},
};

use super::ActorCredential;

/// The actor of an authenticated request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatedActor {
    /// The context of the request.
    pub ctx: Ctx,
    /// The credential that the request has.
    pub credential: ActorCredential,
}

/// Authenticates a request with an API key, and buffers the use of the key; `None` if the key is unknown or has expired.
///
/// The key is looked up by its hash, so the duration of a failed attempt reveals nothing about stored keys.
pub async fn authenticate(
    store: &dyn Store,
    caches: &Caches,
    presented: &str,
    request_id: Arc<str>,
    now: Timestamp,
) -> Result<Option<AuthenticatedActor>> {
    let sha256 = fingerprint(presented);
    let key = store.key(sha256).await?;
    let good = key.filter(|key| key.expires_at.is_none_or(|expires_at| now < expires_at));
    if let Some(key) = &good {
        caches.auth.key_uses.record(key.tenant.id, sha256, now);
    }
    Ok(good.map(|key| AuthenticatedActor {
        credential: ActorCredential {
            tenant: key.tenant.id,
            key: Some(sha256),
            expires_at: key.expires_at,
        },
        ctx: Ctx {
            tenant: key.tenant.id,
            actor: Actor::new(ActorKind::Key, key.user),
            role: key.role,
            request_id,
            now,
        },
    }))
}

/// The tenant of this name; case is ignored.
pub async fn by_name(store: &dyn Store, name: &str) -> Result<Option<Tenant>> {
    Ok(store.tenant(&name.to_ascii_uppercase()).await?)
}
