use std::time::Duration;

use tidegate_core::time::Timestamp;

use crate::{
    Engine, Error, Result,
    ports::Role,
    tenants::{Actor, draw, fingerprint},
};

/// How long a token that was replaced still works, unless somebody says otherwise.
pub const OLD_TOKEN_LIFE: Duration = Duration::from_hours(7 * 24);
/// And the longest that it may.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// A device's new token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Told this once, for only its hash is stored.
    pub token: String,
    /// When the token before stops working, if the new one is not used before; none: it has stopped.
    pub old_works_until: Option<Timestamp>,
}

/// Gives a device a new token. The one that it has works on until the new one is used for the first time, for `old_life`
/// at most; zero ends it now.
pub async fn replace_token(
    engine: &Engine,
    actor: &Actor,
    device_id: &str,
    old_life: Duration,
) -> Result<NewToken> {
    actor.require(Role::Operator)?;
    if old_life > LONGEST {
        let message = format!("must be at most {} s", LONGEST.as_secs());
        let path = "/old_token_expires_in";
        return Err(Error::invalid("invalid_token_life", path, message));
    }
    let now = engine.now();
    let old_until = (!old_life.is_zero()).then(|| now.plus(old_life));
    let token = draw(&*engine.ports.entropy, "");
    replace(
        engine,
        actor,
        device_id,
        Some(fingerprint(&token)),
        old_until,
    )
    .await?;
    Ok(NewToken {
        token,
        old_works_until: old_until,
    })
}

/// Takes a device's tokens away, at once. Whoever else may speak for it still may.
pub async fn revoke_token(engine: &Engine, actor: &Actor, device_id: &str) -> Result<()> {
    actor.require(Role::Operator)?;
    replace(engine, actor, device_id, None, None).await
}

async fn replace(
    engine: &Engine,
    actor: &Actor,
    device_id: &str,
    sha256: Option<[u8; 32]>,
    old_until: Option<Timestamp>,
) -> Result<()> {
    let (store, tenant) = (engine.store(), actor.tenant);
    let replaced = store.replace_token(tenant, device_id, sha256, old_until, engine.now());
    let replaced = replaced.await;
    // Where the store failed, nobody knows what it did.
    engine.read_model.forget(tenant, device_id);
    if replaced? {
        return Ok(());
    }
    Err(Error::not_found("device", device_id))
}
