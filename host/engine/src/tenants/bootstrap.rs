use super::{NewApiKey, issue_key};
use crate::{
    Engine, Result,
    ports::{Role, StoreError, Tenant},
};

/// The tenant that is there from the start.
pub const DEFAULT_TENANT: &str = "DEFAULT";

/// What the first start made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// The tenant that is there from the start.
    pub tenant: Tenant,
    /// The first admin's key, at the first start only.
    pub admin_key: Option<String>,
}

/// Makes the first tenant and the first admin's key where there are none; later starts change nothing.
pub async fn bootstrap(engine: &Engine) -> Result<Bootstrap> {
    let tenant = default_tenant(engine).await?;
    let admin_key = if engine.store().has_keys().await? {
        None
    } else {
        let first = NewApiKey {
            tenant: tenant.id,
            user: "admin".to_owned(),
            role: Role::Admin,
            expires_at: None,
        };
        Some(issue_key(engine, first).await?)
    };
    Ok(Bootstrap { tenant, admin_key })
}

async fn default_tenant(engine: &Engine) -> Result<Tenant> {
    let store = engine.store();
    if let Some(tenant) = store.tenant(DEFAULT_TENANT).await? {
        return Ok(tenant);
    }
    match store.create_tenant(DEFAULT_TENANT, engine.now()).await {
        // Another host that starts at the same moment was quicker.
        Err(conflict @ StoreError::Conflict(_)) => store
            .tenant(DEFAULT_TENANT)
            .await?
            .ok_or_else(|| conflict.into()),
        made => Ok(made?),
    }
}
