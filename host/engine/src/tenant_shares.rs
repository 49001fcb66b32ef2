//! Permits for concurrent work, of which each tenant can hold only a share, and in which its plugins take turns.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tidegate_core::id::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits for concurrent work. A tenant holds at most its share of them, and what it has beyond its share waits without
/// a turn in the queue. So however much work a tenant has, another tenant's next piece waits only for what is running.
///
/// Likewise within a tenant: a plugin can use all of the tenant's share, but what it has beyond that waits without a turn
/// in the tenant's queue. So another plugin's next piece waits only for what is running and for the turns of other
/// plugins, however much work one of them has. `P` names a plugin.
pub struct TenantShares<P = ()> {
    permits: Arc<Semaphore>,
    share: usize,
    /// The share of each tenant, and of each of its plugins, that holds a permit or waits for one.
    shares: Mutex<HashMap<ShareKey<P>, Weak<Semaphore>>>,
}

/// A tenant, or one of its plugins.
type ShareKey<P> = (Option<TenantId>, Option<P>);

/// A permit, held until this is dropped.
pub struct TenantPermit {
    // Dropped in this order, so that each goes to what already waits for it.
    _permit: OwnedSemaphorePermit,
    _tenant: OwnedSemaphorePermit,
    _plugin: Option<OwnedSemaphorePermit>,
}

impl<P: Eq + Hash> TenantShares<P> {
    /// This number of permits, of which one tenant can hold `share`.
    pub fn new(permits: usize, share: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            share,
            shares: Mutex::default(),
        }
    }

    /// This number of permits, of which one tenant can hold half.
    pub fn halves(permits: usize) -> Self {
        Self::new(permits, (permits / 2).max(1))
    }

    /// Waits for a permit of the tenant; `None`: the server's own work, which has a share as a tenant has. `plugin`: the one
    /// for which the work is, if plugins take turns with it.
    pub async fn acquire(&self, tenant: Option<TenantId>, plugin: Option<P>) -> TenantPermit {
        // In this order, so that work that waits for a share has no turn in the queue of what is shared.
        let plugin = match plugin {
            Some(plugin) => Some(self.acquire_share((tenant, Some(plugin))).await),
            None => None,
        };
        let tenant = self.acquire_share((tenant, None)).await;
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        TenantPermit {
            _permit: permit.expect("the permits are never closed"),
            _tenant: tenant,
            _plugin: plugin,
        }
    }

    async fn acquire_share(&self, key: ShareKey<P>) -> OwnedSemaphorePermit {
        let share = self.share_of(key).acquire_owned().await;
        share.expect("a share is never closed")
    }

    fn share_of(&self, key: ShareKey<P>) -> Arc<Semaphore> {
        let mut shares = self.shares.lock();
        if let Some(share) = shares.get(&key).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.share));
        shares.insert(key, Arc::downgrade(&share));
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
        match poll(pin!(shares.acquire(tenant, None))) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_tenant_uses_at_most_its_share() {
        let shares = TenantShares::<()>::halves(4);
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
        let shares = TenantShares::<()>::halves(1);
        let running = acquire(&shares, ONE);
        let mut second = pin!(shares.acquire(ONE, None));
        let mut third = pin!(shares.acquire(ONE, None));
        let mut other = pin!(shares.acquire(OTHER, None));
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
    fn a_plugin_alone_uses_all_of_its_tenants_share() {
        let shares = TenantShares::halves(4);
        let held: Vec<_> = (0..2)
            .map(|_| poll(pin!(shares.acquire(ONE, Some("a")))))
            .collect();
        assert!(held.iter().all(Poll::is_ready));
        assert!(poll(pin!(shares.acquire(ONE, Some("b")))).is_pending());
        let other = poll(pin!(shares.acquire(OTHER, Some("a"))));
        assert!(other.is_ready(), "the share is not that of another tenant");
    }

    /// However many pieces of work a plugin has waiting, those of another take turns with them.
    #[test]
    fn plugins_of_a_tenant_take_turns() {
        let shares = TenantShares::halves(2);
        let mut waiting: Vec<_> = (0..50)
            .map(|n| {
                (
                    format!("heavy {n}"),
                    Box::pin(shares.acquire(ONE, Some("heavy"))),
                )
            })
            .collect();
        waiting.extend((0..3).map(|n| {
            (
                format!("light {n}"),
                Box::pin(shares.acquire(ONE, Some("light"))),
            )
        }));
        let mut order = Vec::new();
        for _ in 0..7 {
            // Every piece of work that can run ends before the next one begins.
            let mut granted = Vec::new();
            waiting.retain_mut(|(name, work)| match poll(work.as_mut()) {
                Poll::Ready(permit) => {
                    granted.push((name.clone(), permit));
                    false
                }
                Poll::Pending => true,
            });
            assert_eq!(granted.len(), 1, "one at a time");
            order.extend(granted.into_iter().map(|(name, _)| name));
        }
        let expected = [
            "heavy 0", "light 0", "heavy 1", "light 1", "heavy 2", "light 2", "heavy 3",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn shares_that_are_not_in_use_are_forgotten() {
        let shares = TenantShares::<()>::halves(2);
        for tenant in 0..100 {
            assert!(acquire(&shares, Some(TenantId(tenant))).is_some());
        }
        let shares = shares.shares.lock();
        assert_eq!(shares.len(), 1);
    }
}
