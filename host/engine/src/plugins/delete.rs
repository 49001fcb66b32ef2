use tidegate_core::{id::Digest, plugin::PluginName};

use crate::{
    Admin, Authorized, Error, Files, Result,
    ports::{Store, StoreError},
};

/// Deletes a revision that no campaign is pinned to, and its component if no other tenant has it.
pub async fn delete(
    ctx: &Authorized<Admin>,
    store: &dyn Store,
    files: &Files,
    plugin: &PluginName,
    digest: Digest,
) -> Result<()> {
    // When the lease ends, the file is deleted if nothing refers to it.
    let lease = files.lease();
    lease.hold(digest.0).await?;
    let deleted = store.delete_revision(ctx, plugin, digest).await;
    lease.release().await;
    match deleted {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::not_found("plugin revision", digest)),
        Err(StoreError::Conflict(message)) => Err(Error::conflict("revision_in_use", message)),
        Err(error) => Err(error.into()),
    }
}
