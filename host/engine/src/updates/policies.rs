use tidegate_core::{
    campaign::PluginUse, id::TenantId, plugin::ClassKey, time::Timestamp, update::UpdatePolicies,
};

use super::UpdateRequest;
use crate::{
    PluginCalls, Result,
    compatibility::{CheckedDevices, DEFAULT_POLICIES, Decision, Policies, chosen},
    ports::{AcceptedClass, AcceptedClasses, OfferCompatibility, Store},
};

/// The policies that a request names, or else the default policies: only a forced request leaves them out.
pub(super) async fn policies_of(
    store: &dyn Store,
    plugins: &PluginCalls,
    tenant: TenantId,
    request: &UpdateRequest,
    chosen: Vec<PluginUse>,
) -> Result<Policies> {
    if request.force {
        return Ok(Policies::default());
    }
    if !request.names_policies() {
        return Policies::built_in(store, plugins, tenant, &DEFAULT_POLICIES).await;
    }
    Policies::load(plugins, tenant, chosen).await
}

/// What the compatibility of checked devices is based on.
pub(super) fn compatibility_of(
    request: &UpdateRequest,
    policies: &Policies,
    checked: &CheckedDevices,
    now: Timestamp,
) -> OfferCompatibility {
    if request.force {
        return OfferCompatibility::forced();
    }
    let is_default = !request.names_policies();
    let decides = !policies.uses.is_empty();
    let accepted = checked.values().filter_map(|found| {
        let intermediate = match &found.decision {
            Decision::Compatible => None,
            Decision::After(intermediate) => Some(intermediate.clone()),
            Decision::Incompatible(_) => return None,
        };
        let accepted = AcceptedClass {
            class: ClassKey::clone(&found.device.class),
            at: now,
            intermediate,
        };
        Some((found.device.key, accepted))
    });
    OfferCompatibility {
        policies: decides.then(|| {
            if is_default {
                UpdatePolicies::Default
            } else {
                chosen(&policies.uses)
            }
        }),
        attributes: policies.attributes.clone(),
        accepted: AcceptedClasses::OfDevices(accepted.collect()),
        path: None,
    }
}
