use tidegate_core::id::{AuthorityId, TenantId};

use super::{check_count, check_name};
use crate::{
    Engine, Error, Result,
    ports::{Authority, NewAuthority, StoreError},
};

/// Trusts an authority: whoever shows a certificate of it that names a device is that device.
pub async fn create_authority(
    engine: &Engine,
    tenant: TenantId,
    new: NewAuthority,
) -> Result<Authority> {
    check_name("invalid_authority", "/name", &new.name)?;
    check_count(
        "too_many_authorities",
        engine.store().authorities(tenant).await?.len(),
    )?;
    let id = match engine.store().create_authority(tenant, new.clone()).await {
        Err(StoreError::Conflict(message)) => {
            return Err(Error::conflict("authority_exists", message));
        }
        made => made?,
    };
    engine.auth_cache.invalidate_authorities(tenant);
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

/// Trusts an authority no more: its certificates open nothing from now on, on other hosts within some seconds.
pub async fn delete_authority(engine: &Engine, tenant: TenantId, id: AuthorityId) -> Result<()> {
    let deleted = engine.store().delete_authority(tenant, id).await?;
    engine.auth_cache.invalidate_authorities(tenant);
    if deleted {
        return Ok(());
    }
    Err(Error::not_found("authority", id))
}
