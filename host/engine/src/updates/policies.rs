use tidegate_core::{campaign::PluginUse, id::TenantId};

use super::UpdateRequest;
use crate::{
    Result,
    compatibility::{DEFAULT_POLICIES, Policies},
    ports::Store,
};

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
