//! Limits on concurrent plugin calls: decisions never wait for interactive calls, and no tenant takes all permits.

use tidegate_core::id::TenantId;
use tidegate_engine::{TenantPermit, TenantShares};

/// The purpose of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallClass {
    /// Advances a running campaign of this tenant: short calls.
    Decisions(TenantId),
    /// Starts a campaign of this tenant: long calls.
    Planning(TenantId),
    /// Serves a request of this tenant: validates a config, replays a call, inspects an upload. `None`: inspects a
    /// component for the server itself.
    Interactive(Option<TenantId>),
}

impl CallClass {
    /// The tenant of the call; `None`: the server itself.
    pub(crate) fn tenant(self) -> Option<TenantId> {
        match self {
            Self::Decisions(tenant) | Self::Planning(tenant) => Some(tenant),
            Self::Interactive(tenant) => tenant,
        }
    }
}

/// Permits for calls. Each class has its own.
pub(crate) struct CallPermits {
    decisions: TenantShares,
    planning: TenantShares,
    interactive: TenantShares,
}

impl CallPermits {
    /// Permits for this number of concurrent decisions.
    pub(crate) fn new(decisions: usize) -> Self {
        Self {
            decisions: TenantShares::halves(decisions),
            planning: TenantShares::halves(planning_permits(decisions)),
            interactive: TenantShares::halves(interactive_permits(decisions)),
        }
    }

    /// The total number of permits.
    pub(crate) fn total(decisions: usize) -> usize {
        decisions + planning_permits(decisions) + interactive_permits(decisions)
    }

    /// Waits for a permit. Dropping it releases it.
    pub(crate) async fn acquire(&self, class: CallClass) -> TenantPermit {
        let permits = match class {
            CallClass::Decisions(_) => &self.decisions,
            CallClass::Planning(_) => &self.planning,
            CallClass::Interactive(_) => &self.interactive,
        };
        permits.acquire(class.tenant()).await
    }
}

/// Two at least, so that a tenant's share is not all of them.
fn planning_permits(decisions: usize) -> usize {
    (decisions / 2).max(2)
}

/// Two at least, so that a tenant's share is not all of them.
pub(crate) fn interactive_permits(decisions: usize) -> usize {
    (decisions / 4).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_permits_for_two_tenants() {
        for (decisions, total) in [(1, 5), (2, 6), (4, 8), (8, 14), (64, 112)] {
            assert_eq!(CallPermits::total(decisions), total);
        }
    }
}
