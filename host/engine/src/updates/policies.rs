use tidegate_core::{campaign::PluginUse, id::TenantId, plugin::PluginKind};

use super::UpdateRequest;
use crate::{
    Result,
    compatibility::{DEFAULT_POLICIES, Policies},
    plugins::PluginCalls,
    ports::Store,
    rules::Rules,
};

/// The policies that a request names. What is invalid is added to `rules`.
pub(super) async fn chosen_policies(
    store: &dyn Store,
    plugins: &PluginCalls,
    tenant: TenantId,
    request: &UpdateRequest,
    rules: &mut Rules,
) -> Result<Vec<PluginUse>> {
    let mut chosen = Vec::new();
    for (index, choice) in request.policies.iter().flatten().enumerate() {
        let path = format!("policies.{index}");
        let policy = choice.resolve(store, plugins, tenant, &path, rules).await?;
        if let Some(policy) = &policy
            && policy.kind != PluginKind::Compatibility
        {
            let message = format!("{} is not a compatibility policy", policy.plugin);
            rules.reject(format!("{path}.plugin"), message);
        }
        chosen.extend(policy);
    }
    Ok(chosen)
}

/// The policies that a request names, or else the default policies that the tenant has enabled; none if the request is
/// forced.
pub(super) async fn policies_of(
    store: &dyn Store,
    tenant: TenantId,
    request: &UpdateRequest,
    chosen: Vec<PluginUse>,
) -> Result<Policies> {
    if request.force {
        return Ok(Policies::default());
    }
    if request.policies.is_none() {
        return Policies::by_name(store, tenant, &DEFAULT_POLICIES).await;
    }
    Policies::load(store, tenant, chosen).await
}
