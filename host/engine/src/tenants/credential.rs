use std::collections::HashSet;

use tidegate_core::{id::TenantId, time::Timestamp};

use crate::{Result, ports::Store};

/// An accepted credential of an actor, by which it can be checked again: an API key or a bearer token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ActorCredential {
    /// The tenant that it gives access to.
    pub tenant: TenantId,
    /// The sha256 of an API key; `None`: a bearer token.
    pub key: Option<[u8; 32]>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

impl ActorCredential {
    fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| now >= expires_at)
    }
}

/// Those of the credentials that have expired or were revoked.
pub async fn ended_credentials(
    store: &dyn Store,
    credentials: Vec<ActorCredential>,
    now: Timestamp,
) -> Result<Vec<ActorCredential>> {
    let keys = credentials.iter().filter(|it| !it.is_expired(now));
    let keys: Vec<_> = keys.filter_map(|it| Some((it.tenant, it.key?))).collect();
    let existing: HashSet<_> = if keys.is_empty() {
        HashSet::new()
    } else {
        store.existing_keys(&keys).await?.into_iter().collect()
    };
    let has_ended = |it: &ActorCredential| {
        it.is_expired(now)
            || it
                .key
                .is_some_and(|key| !existing.contains(&(it.tenant, key)))
    };
    Ok(credentials.into_iter().filter(has_ended).collect())
}
