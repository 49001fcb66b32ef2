//! The authenticated caller of a request, as its log lines name it.

use std::sync::{Arc, OnceLock};

use http::Extensions;
use tidegate_core::id::TenantId;
use tracing::{Span, field::display};

/// Receives the caller of a request when it is authenticated.
#[derive(Clone, Default)]
pub(crate) struct CallerSlot(Arc<OnceLock<(TenantId, String)>>);

impl CallerSlot {
    fn fill(&self, tenant: TenantId, actor: &str) {
        // A request is authenticated once.
        let _ = self.0.set((tenant, actor.to_owned()));
    }

    /// The tenant and the actor, if the request was authenticated.
    pub(crate) fn get(&self) -> Option<&(TenantId, String)> {
        self.0.get()
    }
}

/// Adds the authenticated caller to the span of the current request, and to its line in the access log. The actor is the
/// name of a user or the id of a device.
pub(crate) fn record_caller(extensions: &Extensions, tenant: TenantId, actor: &str) {
    let span = Span::current();
    // Fields that the span does not have are ignored.
    span.record("tenant", display(tenant))
        .record("actor", actor);
    if let Some(slot) = extensions.get::<CallerSlot>() {
        slot.fill(tenant, actor);
    }
}
