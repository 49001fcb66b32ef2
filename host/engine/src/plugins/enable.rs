use tidegate_core::id::Digest;

use crate::{Authorized, Engine, Publisher, Result, ports::Revision};

/// Enables or disables a revision for new campaigns. Running campaigns continue with it.
pub async fn enable(
    ctx: &Authorized<Publisher>,
    engine: &Engine,
    plugin: &str,
    digest: Digest,
    enabled: bool,
) -> Result<Revision> {
    engine
        .store()
        .enable_revision(ctx, plugin, digest, enabled)
        .await?;
    super::revision(ctx, engine, plugin, digest).await
}
