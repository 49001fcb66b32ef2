use tidegate_core::{
    id::Digest,
    plugin::{FieldError, PluginName},
};

use super::find_revision;
use crate::{Ctx, Error, PluginCalls, Result, ports::Store};

/// Validates a config, JSON text, against the plugin's schema and then by the plugin. Returns the errors. Without a
/// digest the revision is used that a campaign would use.
pub async fn validate(
    ctx: &Ctx,
    store: &dyn Store,
    plugins: &PluginCalls,
    plugin: &PluginName,
    digest: Option<Digest>,
    config: &str,
) -> Result<Vec<FieldError>> {
    let found = find_revision(store, plugins.built_ins(), ctx.tenant, plugin, digest).await?;
    let revision = found.ok_or_else(|| match digest {
        Some(digest) => Error::not_found("plugin revision", digest),
        None => Error::not_found("enabled release of the plugin", plugin),
    })?;
    plugins
        .validate(ctx.tenant, plugin, revision.stored.digest, config)
        .await
}
