use std::collections::HashSet;

use tidegate_core::{id::TenantId, time::Timestamp};

use crate::{Result, ports::Store};

/// What authenticated an actor, and until when it is valid.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Credential {
    /// The tenant that it gives access to.
    pub tenant: TenantId,
    /// The sha256 of an API key; `None`: a bearer token.
    pub key: Option<[u8; 32]>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

impl Credential {
    fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| now >= expires_at)
    }
}

/// Those of the credentials that have expired or were revoked.
pub async fn ended_credentials(
    store: &dyn Store,
    credentials: Vec<Credential>,
    now: Timestamp,
) -> Result<Vec<Credential>> {
    let keys = credentials.iter().filter(|it| !it.is_expired(now));
    let keys: Vec<_> = keys.filter_map(|it| Some((it.tenant, it.key?))).collect();
    let existing: HashSet<_> = if keys.is_empty() {
        HashSet::new()
    } else {
        store.existing_keys(&keys).await?.into_iter().collect()
    };
    let has_ended = |it: &Credential| {
        it.is_expired(now)
            || it
                .key
                .is_some_and(|key| !existing.contains(&(it.tenant, key)))
    };
    Ok(credentials.into_iter().filter(has_ended).collect())
}
