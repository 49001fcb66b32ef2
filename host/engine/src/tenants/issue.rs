use tidegate_core::{
    time::Timestamp,
    user_name::{USER_NAME_RULE, is_user_name},
};

use crate::{
    Admin, Authorized, Error, Result, Role, fingerprint,
    ports::{ApiKeyRecord, Entropy, Store},
    secret::generate_secret,
};

use super::keys::KEY_PREFIX;

/// An API key to be issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// The user who acts with it; see [`is_user_name`].
    pub user: String,
    /// The user's role.
    pub role: Role,
    /// When it expires; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// Issues an API key for the tenant. The key is returned once: only its hash is stored.
pub async fn issue_key(
    ctx: &Authorized<Admin>,
    store: &dyn Store,
    entropy: &dyn Entropy,
    new_key: NewApiKey,
) -> Result<String> {
    check_user(&new_key.user)?;
    let key = generate_secret(entropy, KEY_PREFIX);
    let stored = ApiKeyRecord {
        tenant: ctx.tenant,
        user: new_key.user,
        role: new_key.role,
        sha256: fingerprint(&key),
        expires_at: new_key.expires_at,
        created_at: ctx.now,
        last_used: None,
    };
    store.create_key(ctx, stored).await?;
    Ok(key)
}

fn check_user(user: &str) -> Result<()> {
    if is_user_name(user) {
        return Ok(());
    }
    Err(Error::invalid("invalid_key", "user", USER_NAME_RULE))
}
