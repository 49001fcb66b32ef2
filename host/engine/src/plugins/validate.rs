use tidegate_core::{id::Digest, plugin::FieldError};

use crate::{Ctx, Engine, Error, Result};

/// Validates a config, JSON text, against the plugin's schema and then by the plugin. Returns the errors. Without a
/// digest the newest enabled revision is used.
pub async fn validate(
    ctx: &Ctx,
    engine: &Engine,
    plugin: &str,
    digest: Option<Digest>,
    config: &str,
) -> Result<Vec<FieldError>> {
    let revision = engine.store().revision(ctx.tenant, plugin, digest).await?;
    let revision = revision.ok_or_else(|| match digest {
        Some(digest) => Error::not_found("plugin revision", digest),
        None => Error::not_found("enabled plugin", plugin),
    })?;
    validate_config(engine, plugin, revision.stored.digest, config).await
}

/// Validates a config with a revision, and counts the call if the plugin itself ran.
pub(crate) async fn validate_config(
    engine: &Engine,
    plugin: &str,
    revision: Digest,
    config: &str,
) -> Result<Vec<FieldError>> {
    let validation = engine.sandbox().validate(revision, config).await;
    if let Some((fuel, duration)) = validation.cost {
        let failure = validation.outcome.as_ref().err();
        let observer = &engine.ports.observer;
        observer.plugin_called(plugin, "validate", failure, fuel, duration);
    }
    Ok(validation.outcome?)
}
