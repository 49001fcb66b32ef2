use tidegate_core::{
    campaign::PluginUse,
    id::{Digest, TenantId},
};

use super::find_revision;
use crate::{PluginCalls, Result, ports::Store, rules::Rules};

/// A plugin and its config, as requested.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginChoice {
    /// Name of the plugin.
    pub plugin: String,
    /// The revision; `None`: the newest enabled one.
    pub revision: Option<Digest>,
    /// A JSON object.
    pub config: String,
}

impl PluginChoice {
    /// Resolves the choice to a revision and validates its config. `None`: it is invalid, and `rules` has the errors of
    /// fields below `path`.
    pub(crate) async fn resolve(
        &self,
        store: &dyn Store,
        plugins: &PluginCalls,
        tenant: TenantId,
        path: &str,
        rules: &mut Rules,
    ) -> Result<Option<PluginUse>> {
        let built_ins = plugins.built_ins();
        let found = find_revision(store, built_ins, tenant, &self.plugin, self.revision).await?;
        let Some(revision) = found else {
            let message = match self.revision {
                None => format!("there is no enabled plugin {}", self.plugin),
                Some(digest) => format!("the plugin {} has no revision {digest}", self.plugin),
            };
            rules.reject(format!("{path}.plugin"), message);
            return Ok(None);
        };
        let digest = revision.stored.digest;
        if let Some(built_in) = built_ins.digest(&self.plugin)
            && built_in != digest
        {
            let message = format!(
                "the revision {digest} is not the built-in {} of this server, which is {built_in}",
                self.plugin
            );
            rules.reject(format!("{path}.revision"), message);
            return Ok(None);
        }
        if !revision.enabled {
            let message = format!("the revision {digest} is disabled");
            rules.reject(format!("{path}.revision"), message);
            return Ok(None);
        }
        let errors = plugins
            .validate(tenant, &self.plugin, digest, &self.config)
            .await?;
        if !errors.is_empty() {
            for error in errors {
                rules.reject(format!("{path}.config{}", error.path), error.message);
            }
            return Ok(None);
        }
        Ok(Some(PluginUse {
            plugin: self.plugin.clone(),
            revision: digest,
            version: revision.stored.description.version,
            kind: revision.stored.kind,
            config: self.config.clone(),
        }))
    }
}
