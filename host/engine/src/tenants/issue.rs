use tidegate_core::{id::TenantId, time::Timestamp};

use super::{draw, fingerprint};
use crate::{
    Engine, Error, Result,
    ports::{NewKey, Role},
};

/// An API key to be issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// For whom.
    pub tenant: TenantId,
    /// Who acts with it: 1 to 200 characters.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

/// Issues an API key. It is told this once: what is stored is only its hash.
pub async fn issue_key(engine: &Engine, wanted: NewApiKey) -> Result<String> {
    check_name("/user", &wanted.user)?;
    let key = draw(&*engine.ports.entropy, "tg_");
    let stored = NewKey {
        tenant: wanted.tenant,
        user: wanted.user,
        role: wanted.role,
        sha256: fingerprint(&key),
        expires_at: wanted.expires_at,
        created_at: engine.now(),
    };
    engine.store().create_key(stored).await?;
    Ok(key)
}

/// Issues a token with which any device of the tenant may speak. It is told this once, as keys are.
pub async fn issue_gateway_token(engine: &Engine, tenant: TenantId, name: &str) -> Result<String> {
    check_name("/name", name)?;
    let token = draw(&*engine.ports.entropy, "tgw_");
    let (store, now) = (engine.store(), engine.now());
    store
        .create_gateway_token(tenant, name, fingerprint(&token), now)
        .await?;
    Ok(token)
}

fn check_name(path: &str, name: &str) -> Result<()> {
    if (1..=200).contains(&name.chars().count()) {
        return Ok(());
    }
    Err(Error::invalid(
        "invalid_key",
        path,
        "must have 1 to 200 characters",
    ))
}
