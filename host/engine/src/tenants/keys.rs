use tidegate_core::{firmware::hex, id::TenantId};

use crate::{Engine, Error, Result, ports::ApiKeyRecord};

/// How many hexadecimal digits of its sha256 identify a key.
const ID_DIGITS: usize = 12;

/// Identifies an API key without revealing it: the first digits of its sha256.
pub fn key_id(key: &ApiKeyRecord) -> String {
    let mut id = hex(&key.sha256);
    id.truncate(ID_DIGITS);
    id
}

/// The API keys of a tenant, including expired ones, in order of creation.
pub async fn keys(engine: &Engine, tenant: TenantId) -> Result<Vec<ApiKeyRecord>> {
    Ok(engine.store().keys(tenant).await?)
}

/// Revokes the API key with this [`key_id`]; the next request with it is rejected.
pub async fn revoke_key(engine: &Engine, tenant: TenantId, id: &str) -> Result<()> {
    let keys = engine.store().keys(tenant).await?;
    if let Some(key) = keys.iter().find(|key| key_id(key) == id)
        && engine.store().delete_key(tenant, key.sha256).await?
    {
        return Ok(());
    }
    Err(Error::not_found("API key", id))
}
