use super::{Actor, fingerprint};
use crate::{Engine, Result, ports::Tenant};

/// Who presents this API key; none when nobody has it, or it has expired.
///
/// The work is the same whatever is presented: one hash and one look-up by it, and a look-up by the hash of a guess
/// tells nothing of the keys.
pub async fn authenticate(engine: &Engine, presented: &str) -> Result<Option<Actor>> {
    let key = engine.store().key(fingerprint(presented)).await?;
    let now = engine.now();
    let good = key.filter(|key| key.expires_at.is_none_or(|expires_at| now < expires_at));
    Ok(good.map(|key| Actor {
        tenant: key.tenant.id,
        user: key.user,
        role: key.role,
    }))
}

/// The tenant of this name, in any case of letters.
pub async fn by_name(engine: &Engine, name: &str) -> Result<Option<Tenant>> {
    Ok(engine.store().tenant(&name.to_ascii_uppercase()).await?)
}
