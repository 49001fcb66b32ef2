use tidegate_core::{plugin::FieldError, settings::TenantSettings};

use super::Actor;
use crate::{
    Engine, Error, Result,
    ports::{Role, Tenant},
};

/// How often a change is tried anew that others were quicker than.
const MAX_CAS_ATTEMPTS: usize = 8;

/// What the actor's tenant set for itself.
pub async fn settings(engine: &Engine, actor: &Actor) -> Result<TenantSettings> {
    actor.require(Role::Viewer)?;
    Ok(tenant(engine, actor).await?.settings)
}

/// Changes what the actor's tenant set for itself; answers what it is then. `change` is asked again when somebody else
/// was quicker, so that no change is lost.
pub async fn change_settings<E: From<Error>>(
    engine: &Engine,
    actor: &Actor,
    mut change: impl FnMut(TenantSettings) -> std::result::Result<TenantSettings, E>,
) -> std::result::Result<TenantSettings, E> {
    actor.require(Role::Admin)?;
    for _ in 0..MAX_CAS_ATTEMPTS {
        let before = tenant(engine, actor).await?;
        let settings = change(before.settings.clone())?;
        if settings == before.settings {
            return Ok(settings);
        }
        check(settings.validation_errors())?;
        let revision = before.settings_revision;
        let changed = engine
            .store()
            .change_settings(before.id, revision, &settings)
            .await;
        // Where the store failed, nobody knows what it did.
        engine.auth_cache.invalidate_tenants();
        if changed.map_err(Error::from)? {
            return Ok(settings);
        }
    }
    let message = "others change the settings all the time; try again";
    Err(Error::conflict("settings_changed", message).into())
}

async fn tenant(engine: &Engine, actor: &Actor) -> Result<Tenant> {
    let tenant = engine.store().tenant_by_id(actor.tenant).await?;
    tenant.ok_or_else(|| Error::not_found("tenant", actor.tenant))
}

fn check(errors: Vec<FieldError>) -> Result<()> {
    let message = match &errors[..] {
        [] => return Ok(()),
        [one] => format!("{}: {}", one.path, one.message),
        many => format!("{} settings are not as they must be", many.len()),
    };
    Err(Error::Invalid {
        code: "invalid_settings",
        message,
        errors,
    })
}
