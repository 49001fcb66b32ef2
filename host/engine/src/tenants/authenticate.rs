use std::sync::Arc;

use tidegate_core::time::Timestamp;

use crate::{
    Actor, ActorKind, Ctx, Result, fingerprint,
    ports::{Store, Tenant},
};

/// The context of a request with an API key; `None` if the key is unknown or has expired.
///
/// The key is looked up by its hash, so the duration of a failed attempt reveals nothing about stored keys.
pub async fn authenticate(
    store: &dyn Store,
    presented: &str,
    request_id: Arc<str>,
    now: Timestamp,
) -> Result<Option<Ctx>> {
    let key = store.key(fingerprint(presented)).await?;
    let good = key.filter(|key| key.expires_at.is_none_or(|expires_at| now < expires_at));
    Ok(good.map(|key| Ctx {
        tenant: key.tenant.id,
        actor: Actor::new(ActorKind::Key, key.user),
        role: key.role,
        request_id,
        now,
    }))
}

/// The tenant of this name; case is ignored.
pub async fn by_name(store: &dyn Store, name: &str) -> Result<Option<Tenant>> {
    Ok(store.tenant(&name.to_ascii_uppercase()).await?)
}
