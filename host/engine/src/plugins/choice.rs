use tidegate_core::{
    Named as _,
    campaign::PluginUse,
    id::{Digest, TenantId},
    plugin::PluginName,
};

use super::{find_revision, no_default};
use crate::{PluginCalls, Result, ports::Store, rules::Rules};

/// A plugin and its config, as requested.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginChoice {
    /// Name of the plugin, as requested.
    pub plugin: String,
    /// The revision; `None`: the default.
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
        let plugin = match self.plugin.parse::<PluginName>() {
            Ok(plugin) => plugin,
            Err(error) => {
                rules.reject(format!("{path}.plugin"), error.to_string());
                return Ok(None);
            }
        };
        let built_ins = plugins.built_ins();
        let found = find_revision(store, built_ins, tenant, &plugin, self.revision).await?;
        let Some(revision) = found else {
            let message = match self.revision {
                None => {
                    let revisions = store.revisions_of(tenant, &plugin).await?;
                    let advised = no_default::with_advice(built_ins, &plugin, &revisions);
                    format!("there is no enabled release of the plugin {advised}")
                }
                Some(digest) => format!("the plugin {plugin} has no revision {digest}"),
            };
            rules.reject(format!("{path}.plugin"), message);
            return Ok(None);
        };
        let digest = revision.stored.digest;
        if !built_ins.allow(&plugin, digest) {
            let message = match built_ins.digest(&plugin) {
                Some(built_in) => format!(
                    "the revision {digest} is not the built-in {plugin} of this server, which is {built_in}"
                ),
                None => format!("this server has no built-in {plugin}"),
            };
            rules.reject(format!("{path}.revision"), message);
            return Ok(None);
        }
        if !revision.state.may_be_named() {
            let state = revision.state.as_str();
            let message = format!("the revision {digest} is {state}: an admin can enable it");
            rules.reject(format!("{path}.revision"), message);
            return Ok(None);
        }
        if let Some(reason) = plugins.unknown_contract(&revision.stored) {
            rules.reject(
                format!("{path}.revision"),
                format!("{reason} Build it again"),
            );
            return Ok(None);
        }
        let config = &self.config;
        let errors = plugins.validate(tenant, &plugin, digest, config).await?;
        if !errors.is_empty() {
            for error in errors {
                rules.reject(format!("{path}.config{}", error.path), error.message);
            }
            return Ok(None);
        }
        Ok(Some(PluginUse {
            plugin,
            revision: digest,
            version: revision.stored.description.version,
            kind: revision.stored.kind,
            config: self.config.clone(),
        }))
    }
}
