//! Limits on concurrent plugin calls: decisions never wait for interactive calls, no tenant takes all permits, and a
//! tenant's plugins take turns.

use tidegate_core::id::{Digest, TenantId};
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
    decisions: TenantShares<Digest>,
    planning: TenantShares<Digest>,
    interactive: TenantShares<Digest>,
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

    /// Waits for a permit to call the plugin of this digest. Dropping it releases it.
    pub(crate) async fn acquire(&self, class: CallClass, plugin: Digest) -> TenantPermit {
        let permits = match class {
            CallClass::Decisions(_) => &self.decisions,
            CallClass::Planning(_) => &self.planning,
            CallClass::Interactive(_) => &self.interactive,
        };
        permits.acquire(class.tenant(), Some(plugin)).await
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
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn every_class_has_permits_for_two_tenants() {
        for (decisions, total) in [(1, 5), (2, 6), (4, 8), (8, 14), (64, 112)] {
            assert_eq!(CallPermits::total(decisions), total);
        }
    }

    #[test]
    fn plugins_of_a_tenant_take_turns_in_every_class() {
        let tenant = TenantId(1);
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        for class in [
            CallClass::Decisions(tenant),
            CallClass::Planning(tenant),
            CallClass::Interactive(Some(tenant)),
        ] {
            let permits = CallPermits::new(2);
            let permit = poll(pin!(permits.acquire(class, one)));
            assert!(permit.is_ready());
            let mut second = pin!(permits.acquire(class, one));
            let mut of_other = pin!(permits.acquire(class, other));
            assert!(poll(second.as_mut()).is_pending());
            assert!(poll(of_other.as_mut()).is_pending());
            drop(permit);
            assert!(poll(second.as_mut()).is_pending(), "{class:?}");
            assert!(poll(of_other.as_mut()).is_ready(), "{class:?}");
        }
    }
}
