use tidegate_core::{
    id::Digest,
    plugin::{FieldError, PluginName},
};

use super::{find_revision, no_default};
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
    let Some(revision) = found else {
        let Some(digest) = digest else {
            let revisions = store.revisions_of(ctx.tenant, plugin).await?;
            let advised = no_default::with_advice(plugins.built_ins(), plugin, &revisions);
            return Err(Error::not_found("enabled release of the plugin", advised));
        };
        return Err(Error::not_found("plugin revision", digest));
    };
    plugins
        .validate(ctx.tenant, plugin, revision.stored.digest, config)
        .await
}
