use tidegate_core::{
    campaign::{Campaign, PluginUse},
    id::TenantId,
    plugin::{PluginKind, PluginName, RevisionState},
    update::{ChosenPolicy, UpdatePolicies},
};

use crate::{
    PluginCalls, Result,
    ports::{CallQuota, Store},
};

/// The policy that evaluates the hardware named in firmware and images.
pub(crate) const HARDWARE: PluginName = PluginName::built_in("hardware");
/// The policy that chooses firmware for devices in mode `latest`.
pub(crate) const LATEST: PluginName = PluginName::built_in("latest");
/// The policies that are used by default: built in, and usable without a config.
pub(crate) const DEFAULT_POLICIES: [PluginName; 2] =
    [HARDWARE, PluginName::built_in("version-path")];

/// Compatibility policies of a tenant, in the order in which they are asked.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    pub(crate) uses: Vec<PluginUse>,
    /// Default policies that the tenant does not have or has disabled. If there are any, no device is compatible.
    pub(crate) missing: Vec<PluginName>,
    /// The attributes that class keys must have for them.
    pub(crate) attributes: Vec<String>,
}

impl Policies {
    /// Built-in policies by name, with default configs.
    pub(crate) async fn built_in(
        store: &dyn Store,
        plugins: &PluginCalls,
        tenant: TenantId,
        names: &[PluginName],
    ) -> Result<Self> {
        let mut policies = Self::default();
        for name in names {
            let revision = match plugins.built_ins().digest(name) {
                Some(digest) => store.revision(tenant, name, digest).await?,
                // Another component of this name must not decide.
                None => None,
            };
            let Some(revision) =
                revision.filter(|revision| revision.state == RevisionState::Enabled)
            else {
                policies.missing.push(name.clone());
                continue;
            };
            let stored = &revision.stored;
            policies.uses.push(PluginUse {
                plugin: name.clone(),
                revision: stored.digest,
                version: stored.description.version.clone(),
                kind: stored.kind,
                config: "{}".to_owned(),
            });
        }
        policies.attributes = class_attributes(plugins, tenant, &policies.uses).await?;
        Ok(policies)
    }

    /// Chosen policies.
    pub(crate) async fn load(
        plugins: &PluginCalls,
        tenant: TenantId,
        uses: Vec<PluginUse>,
    ) -> Result<Self> {
        let attributes = class_attributes(plugins, tenant, &uses).await?;
        Ok(Self {
            uses,
            missing: Vec::new(),
            attributes,
        })
    }

    /// Why no device is compatible, if a default policy is missing.
    pub(crate) fn missing_reason(&self) -> Option<String> {
        let name = self.missing.first()?;
        Some(format!(
            "{name}: this default policy is not installed or is disabled; an admin can enable it"
        ))
    }

    /// Whether this policy is among them.
    pub(crate) fn has(&self, name: &PluginName) -> bool {
        self.uses.iter().any(|policy| policy.plugin == *name)
    }
}

/// The attributes that these plugins want in class keys.
async fn class_attributes(
    plugins: &PluginCalls,
    tenant: TenantId,
    uses: &[PluginUse],
) -> Result<Vec<String>> {
    let mut attributes = Vec::new();
    for plugin in uses {
        let wants = plugins.wants(tenant, CallQuota::Planning, plugin);
        attributes.extend(wants.await?.attributes);
    }
    attributes.sort_unstable();
    attributes.dedup();
    Ok(attributes)
}

/// The compatibility policies of a campaign.
pub(crate) fn compatibility_policies(campaign: &Campaign) -> Vec<PluginUse> {
    let policies = campaign.spec.policies.iter();
    let policies = policies.filter(|policy| policy.kind == PluginKind::Compatibility);
    policies.cloned().collect()
}

/// These policies, for updates that they decide on.
pub(crate) fn chosen(uses: &[PluginUse]) -> UpdatePolicies {
    let chosen = uses.iter().map(|policy| ChosenPolicy {
        plugin: policy.plugin.clone(),
        revision: policy.revision,
        config: policy.config.clone(),
    });
    UpdatePolicies::Chosen(chosen.collect())
}
