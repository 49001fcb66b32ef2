use tidegate_core::{id::Digest, plugin::FieldError};

use crate::{Ctx, Error, PluginCalls, Result, ports::Store};

/// Validates a config, JSON text, against the plugin's schema and then by the plugin. Returns the errors. Without a
/// digest the newest enabled revision is used.
pub async fn validate(
    ctx: &Ctx,
    store: &dyn Store,
    plugins: &PluginCalls,
    plugin: &str,
    digest: Option<Digest>,
    config: &str,
) -> Result<Vec<FieldError>> {
    let revision = store.revision(ctx.tenant, plugin, digest).await?;
    let revision = revision.ok_or_else(|| match digest {
        Some(digest) => Error::not_found("plugin revision", digest),
        None => Error::not_found("enabled plugin", plugin),
    })?;
    plugins
        .validate(plugin, revision.stored.digest, config)
        .await
}
