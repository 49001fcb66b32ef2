use tidegate_core::id::AuthorityId;

use super::{check_count, validate_name};
use crate::{
    Admin, Authorized, Caches, Error, Result,
    ports::{Authority, NewAuthority, Store, StoreError},
    rules::Rules,
};

/// Adds a trusted certificate authority. A client certificate that it issued authenticates the device that the
/// certificate names.
pub async fn create_authority(
    ctx: &Authorized<Admin>,
    store: &dyn Store,
    caches: &Caches,
    new: NewAuthority,
) -> Result<Authority> {
    Rules::from_iter(validate_name(&new.name)).accept("invalid_authority")?;
    check_count(
        "too_many_authorities",
        store.authorities(ctx.tenant).await?.len(),
    )?;
    let id = match store.create_authority(ctx, new.clone()).await {
        Err(StoreError::Conflict(message)) => {
            return Err(Error::conflict("authority_exists", message));
        }
        result => result?,
    };
    caches.auth.invalidate_authorities(ctx.tenant);
    Ok(Authority {
        id,
        name: new.name,
        certificate: new.certificate,
        sha256: new.sha256,
        subject: new.subject,
        expires_at: new.expires_at,
        created_at: new.created_at,
    })
}

/// Removes a trusted authority. Its certificates are rejected from now on, on other servers after at most ten seconds.
pub async fn delete_authority(
    ctx: &Authorized<Admin>,
    store: &dyn Store,
    caches: &Caches,
    id: AuthorityId,
) -> Result<()> {
    let deleted = store.delete_authority(ctx, id).await?;
    caches.auth.invalidate_authorities(ctx.tenant);
    if deleted {
        return Ok(());
    }
    Err(Error::not_found("authority", id))
}
