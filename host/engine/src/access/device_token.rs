use std::time::Duration;

use tidegate_core::{plugin::FieldError, time::Timestamp};

use crate::{
    Authorized, Caches, Error, Operator, Result, fingerprint,
    ports::{Entropy, Store},
    rules::Rules,
    secret::{check_token, chosen_or_new},
};

/// How long a replaced token stays valid by default.
pub const DEFAULT_OLD_TOKEN_LIFETIME: Duration = Duration::from_hours(7 * 24);
/// Maximum lifetime of a replaced token.
const MAX_OLD_TOKEN_LIFETIME: Duration = Duration::from_hours(366 * 24);

/// A new token of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The token. Returned once: only its hash is stored.
    pub token: String,
    /// When the previous token expires unless the new one is used first; `None` if it is invalid already.
    pub old_token_expires_at: Option<Timestamp>,
}

/// Replaces a device's token by a new one, or by one that an administrator chose. The current token stays valid until
/// the new one is first used, for at most
/// `old_token_lifetime`; zero invalidates it immediately.
pub async fn replace_token(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    caches: &Caches,
    entropy: &dyn Entropy,
    device_id: &str,
    token: Option<String>,
    old_token_lifetime: Duration,
) -> Result<NewToken> {
    Rules::from_iter(validate_token(token.as_deref())).accept("invalid_token")?;
    if old_token_lifetime > MAX_OLD_TOKEN_LIFETIME {
        let message = format!(
            "must be at most {} seconds",
            MAX_OLD_TOKEN_LIFETIME.as_secs()
        );
        let path = "old_token_lifetime";
        return Err(Error::invalid("invalid_token_life", path, message));
    }
    let now = ctx.now;
    let old_until = (!old_token_lifetime.is_zero()).then(|| now.plus(old_token_lifetime));
    let token = chosen_or_new(ctx, entropy, token, "")?;
    replace(
        ctx,
        store,
        caches,
        device_id,
        Some(fingerprint(&token)),
        old_until,
    )
    .await?;
    Ok(NewToken {
        token,
        old_token_expires_at: old_until,
    })
}

/// The error if a chosen token is invalid.
pub fn validate_token(token: Option<&str>) -> Vec<FieldError> {
    let mut rules = Rules::default();
    if let Some(token) = token {
        check_token(&mut rules, token);
    }
    rules.into_errors()
}

/// Revokes a device's tokens immediately. Gateways and certificates can still authenticate as the device.
pub async fn revoke_token(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    caches: &Caches,
    device_id: &str,
) -> Result<()> {
    replace(ctx, store, caches, device_id, None, None).await
}

async fn replace(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    caches: &Caches,
    device_id: &str,
    sha256: Option<[u8; 32]>,
    old_until: Option<Timestamp>,
) -> Result<()> {
    let replaced = store.replace_token(ctx, device_id, sha256, old_until, ctx.now);
    let replaced = replaced.await;
    // After a store error the result is unknown.
    caches.invalidate_device(ctx.tenant, device_id);
    if replaced? {
        return Ok(());
    }
    Err(Error::not_found("device", device_id))
}
