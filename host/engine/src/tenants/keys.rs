use crate::{
    Admin, Authorized, Error, Result,
    ports::{ApiKeyRecord, Store},
};

/// How many hexadecimal digits of its sha256 identify a key.
const ID_DIGITS: usize = 12;

/// Identifies an API key without revealing it: the first digits of its sha256.
pub fn key_id(sha256: &[u8; 32]) -> String {
    let mut id = hex::encode(sha256);
    id.truncate(ID_DIGITS);
    id
}

/// The API keys of a tenant, including expired ones, in order of creation.
pub async fn keys(ctx: &Authorized<Admin>, store: &dyn Store) -> Result<Vec<ApiKeyRecord>> {
    Ok(store.keys(ctx.tenant).await?)
}

/// Revokes the API key with this [`key_id`]; the next request with it is rejected.
pub async fn revoke_key(ctx: &Authorized<Admin>, store: &dyn Store, id: &str) -> Result<()> {
    let keys = store.keys(ctx.tenant).await?;
    if let Some(key) = keys.iter().find(|key| key_id(&key.sha256) == id)
        && store.delete_key(ctx, key.sha256).await?
    {
        return Ok(());
    }
    Err(Error::not_found("API key", id))
}
