use tidegate_core::settings::TenantSettings;

use crate::{
    Admin, Authorized, Caches, Ctx, Error, Result,
    ports::{Store, Tenant},
    rules::Rules,
};

/// Maximum compare-and-set attempts.
const MAX_CAS_ATTEMPTS: usize = 8;

/// The settings of the actor's tenant.
pub async fn settings(ctx: &Ctx, store: &dyn Store) -> Result<TenantSettings> {
    Ok(tenant(ctx, store).await?.settings)
}

/// Changes the settings of the actor's tenant and returns the new ones. After a concurrent change, `change` is called
/// again, so that no change is lost.
pub async fn change_settings<E: From<Error>>(
    ctx: &Authorized<Admin>,
    store: &dyn Store,
    caches: &Caches,
    mut change: impl FnMut(TenantSettings) -> std::result::Result<TenantSettings, E>,
) -> std::result::Result<TenantSettings, E> {
    for _ in 0..MAX_CAS_ATTEMPTS {
        let before = tenant(ctx, store).await?;
        let settings = change(before.settings.clone())?;
        if settings == before.settings {
            return Ok(settings);
        }
        Rules::from_iter(settings.validation_errors()).accept("invalid_settings")?;
        let changed = store.change_settings(ctx, &before, &settings).await;
        // After a store error the result is unknown.
        caches.invalidate_tenants();
        if changed.map_err(Error::from)? {
            return Ok(settings);
        }
    }
    let message = "the settings were changed concurrently too often; try again";
    Err(Error::conflict("settings_changed", message).into())
}

async fn tenant(ctx: &Ctx, store: &dyn Store) -> Result<Tenant> {
    let tenant = store.tenant_by_id(ctx.tenant).await?;
    tenant.ok_or_else(|| Error::not_found("tenant", ctx.tenant))
}
