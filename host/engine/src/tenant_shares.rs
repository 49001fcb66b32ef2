//! Permits for concurrent work, of which each tenant can hold only a share.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tidegate_core::id::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits for concurrent work. A tenant holds at most its share of them, and what it has beyond its share waits without
/// a turn in the queue. So however much work a tenant has, another tenant's next piece waits only for what is running.
pub struct TenantShares {
    permits: Arc<Semaphore>,
    share: usize,
    /// The share of each tenant that holds a permit or waits for one.
    tenants: Mutex<HashMap<Option<TenantId>, Weak<Semaphore>>>,
}

/// A permit, held until this is dropped.
pub struct TenantPermit {
    _permit: OwnedSemaphorePermit,
    _share: OwnedSemaphorePermit,
}

impl TenantShares {
    /// This number of permits, of which one tenant can hold `share`.
    pub fn new(permits: usize, share: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            share,
            tenants: Mutex::default(),
        }
    }

    /// This number of permits, of which one tenant can hold half.
    pub fn halves(permits: usize) -> Self {
        Self::new(permits, (permits / 2).max(1))
    }

    /// Waits for a permit of the tenant; `None`: the server's own work, which has a share as a tenant has.
    pub async fn acquire(&self, tenant: Option<TenantId>) -> TenantPermit {
        // In this order, so that work that waits for its tenant's share has no turn in the queue of all.
        let share = self.share_of(tenant).acquire_owned().await;
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        TenantPermit {
            _share: share.expect("a share is never closed"),
            _permit: permit.expect("the permits are never closed"),
        }
    }

    fn share_of(&self, tenant: Option<TenantId>) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock();
        if let Some(share) = tenants.get(&tenant).and_then(Weak::upgrade) {
            return share;
        }
        tenants.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.share));
        tenants.insert(tenant, Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    const ONE: Option<TenantId> = Some(TenantId(1));
    const OTHER: Option<TenantId> = Some(TenantId(2));

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// A permit, if one is free.
    fn acquire(shares: &TenantShares, tenant: Option<TenantId>) -> Option<TenantPermit> {
        match poll(pin!(shares.acquire(tenant))) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_tenant_uses_at_most_its_share() {
        let shares = TenantShares::halves(4);
        let held = [acquire(&shares, ONE), acquire(&shares, ONE)];
        assert!(held.iter().all(Option::is_some));
        assert!(acquire(&shares, ONE).is_none());
        let other = [acquire(&shares, OTHER), acquire(&shares, OTHER)];
        assert!(other.iter().all(Option::is_some));
        assert!(acquire(&shares, None).is_none(), "all permits are held");
        drop(held);
        assert!(acquire(&shares, ONE).is_some());
        assert!(acquire(&shares, None).is_some());
    }

    /// With a single permit, tenants take turns, however many calls one of them has waiting.
    #[test]
    fn work_beyond_a_share_has_no_turn() {
        let shares = TenantShares::halves(1);
        let running = acquire(&shares, ONE);
        let mut second = pin!(shares.acquire(ONE));
        let mut third = pin!(shares.acquire(ONE));
        let mut other = pin!(shares.acquire(OTHER));
        assert!(poll(second.as_mut()).is_pending() && poll(third.as_mut()).is_pending());
        assert!(poll(other.as_mut()).is_pending());
        drop(running);
        assert!(
            poll(second.as_mut()).is_pending(),
            "the other tenant was first"
        );
        assert!(poll(other.as_mut()).is_ready());
    }

    #[test]
    fn shares_that_are_not_in_use_are_forgotten() {
        let shares = TenantShares::halves(2);
        for tenant in 0..100 {
            assert!(acquire(&shares, Some(TenantId(tenant))).is_some());
        }
        let tenants = shares.tenants.lock();
        assert_eq!(tenants.len(), 1);
    }
}
