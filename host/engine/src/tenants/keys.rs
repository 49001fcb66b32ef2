use crate::{
    Admin, Authorized, Caches, Error, Result, fingerprint,
    ports::{ApiKeyRecord, ApiKeyUse, Store},
};

/// How many hexadecimal digits of its sha256 identify a key.
const ID_DIGITS: usize = 12;
/// The prefix of a generated key.
pub(super) const KEY_PREFIX: &str = "tg_";

/// Identifies an API key without revealing it: the first digits of its sha256.
pub fn key_id(sha256: &[u8; 32]) -> String {
    let mut id = hex::encode(sha256);
    id.truncate(ID_DIGITS);
    id
}

/// The [`key_id`] of a presented key that has the form of a generated one. Of any other text, such as a password that was
/// sent by mistake, even a part of its hash may reveal too much.
pub fn generated_key_id(presented: &str) -> Option<String> {
    let digits = presented.strip_prefix(KEY_PREFIX)?;
    let is_generated = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_generated.then(|| key_id(&fingerprint(presented)))
}

/// The API keys of a tenant, including expired ones, in order of creation.
pub async fn keys(ctx: &Authorized<Admin>, store: &dyn Store) -> Result<Vec<ApiKeyRecord>> {
    Ok(store.keys(ctx.tenant).await?)
}

/// The API key of a tenant with this [`key_id`].
pub async fn key(ctx: &Authorized<Admin>, store: &dyn Store, id: &str) -> Result<ApiKeyRecord> {
    let keys = store.keys(ctx.tenant).await?;
    let found = keys.into_iter().find(|key| key_id(&key.sha256) == id);
    found.ok_or_else(|| Error::not_found("API key", id))
}

/// Revokes the API key with this [`key_id`]; the next request with it is rejected.
pub async fn revoke_key(ctx: &Authorized<Admin>, store: &dyn Store, id: &str) -> Result<()> {
    let key = key(ctx, store, id).await?;
    if store.delete_key(ctx, key.sha256).await? {
        return Ok(());
    }
    Err(Error::not_found("API key", id))
}

/// Writes the buffered last-use times of API keys once. Times that cannot be written stay buffered.
pub async fn flush_key_uses(store: &dyn Store, caches: &Caches) -> Result<()> {
    let buffer = &caches.auth.key_uses;
    let uses = buffer.take();
    let records = uses
        .iter()
        .map(|&(tenant, sha256, at)| ApiKeyUse { tenant, sha256, at });
    let written = store.record_key_use(records.collect()).await;
    Ok(buffer.restore_unwritten(uses, written)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_generated_key_has_an_id_in_the_log() {
        let key = format!("{KEY_PREFIX}{}", "0f".repeat(32));
        assert_eq!(generated_key_id(&key), Some(key_id(&fingerprint(&key))));
        for other in [
            "",
            "hunter2",
            "tg_hunter2",
            &key[..66],
            &format!("{key}0"),
            &format!("{KEY_PREFIX}{}", "0g".repeat(32)),
        ] {
            assert_eq!(generated_key_id(other), None, "{other}");
        }
    }
}
