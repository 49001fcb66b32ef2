use super::{NewApiKey, issue_key};
use crate::{
    Actor, Engine, Result, Role,
    ports::{StoreError, Tenant},
};

/// The tenant that the first start creates.
pub const DEFAULT_TENANT: &str = "DEFAULT";

/// What the first start created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// The default tenant.
    pub tenant: Tenant,
    /// The first admin's key; only at the first start.
    pub admin_key: Option<String>,
}

/// Creates the default tenant and the first admin's key if they do not exist.
pub async fn bootstrap(engine: &Engine) -> Result<Bootstrap> {
    let tenant = default_tenant(engine).await?;
    let admin_key = if engine.store().has_keys().await? {
        None
    } else {
        let ctx = engine.trusted_ctx(tenant.id, Actor::server());
        let first = NewApiKey {
            user: "admin".to_owned(),
            role: Role::Admin,
            expires_at: None,
        };
        Some(issue_key(&ctx, engine.store(), engine.entropy(), first).await?)
    };
    Ok(Bootstrap { tenant, admin_key })
}

async fn default_tenant(engine: &Engine) -> Result<Tenant> {
    let store = engine.store();
    if let Some(tenant) = store.tenant(DEFAULT_TENANT).await? {
        return Ok(tenant);
    }
    let ctx = engine.server_ctx(Actor::server())?;
    match store.create_tenant(&ctx, DEFAULT_TENANT).await {
        // Another server has created it concurrently.
        Err(conflict @ StoreError::Conflict(_)) => store
            .tenant(DEFAULT_TENANT)
            .await?
            .ok_or_else(|| conflict.into()),
        result => Ok(result?),
    }
}
