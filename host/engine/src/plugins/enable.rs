use tidegate_core::id::Digest;

use crate::{
    Authorized, Publisher, Result,
    ports::{Revision, Store},
};

/// Enables or disables a revision for new campaigns. Running campaigns continue with it.
pub async fn enable(
    ctx: &Authorized<Publisher>,
    store: &dyn Store,
    plugin: &str,
    digest: Digest,
    enabled: bool,
) -> Result<Revision> {
    store.enable_revision(ctx, plugin, digest, enabled).await?;
    super::revision(ctx, store, plugin, digest).await
}
