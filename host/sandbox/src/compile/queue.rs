//! The order of compilations.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tidegate_core::id::TenantId;
use tidegate_engine::{TenantPermit, TenantShares};

/// Maximum number of components that are inspected for one tenant, with the one that is being compiled.
const MAX_OF_TENANT: usize = 4;
/// Maximum number of components that are inspected for all tenants.
const MAX_TOTAL: usize = 16;

/// Why a component is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompilePurpose {
    /// A call needs it: the code of an installed plugin was lost.
    Call,
    /// It is inspected: it was uploaded, or put into a folder of the server.
    Inspection,
}

/// Too many components wait for their inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueFull;

/// Two lanes: what calls need never waits for inspections, because a campaign waits for it. In each lane one component is
/// compiled at a time, and tenants take turns.
pub(crate) struct CompileQueue {
    calls: TenantShares,
    inspections: TenantShares,
    /// The number of components in the lane of inspections by tenant.
    inspected: Arc<Mutex<HashMap<TenantId, usize>>>,
}

/// A turn, held until this is dropped.
pub(crate) struct CompileTurn {
    _permit: TenantPermit,
    _place: Option<Place>,
}

/// A place in the lane of inspections.
struct Place {
    tenant: TenantId,
    inspected: Arc<Mutex<HashMap<TenantId, usize>>>,
}

impl CompileQueue {
    pub(crate) fn new() -> Self {
        Self {
            calls: TenantShares::new(1, 1),
            inspections: TenantShares::new(1, 1),
            inspected: Arc::default(),
        }
    }

    /// Waits for a turn of the tenant; `None`: the server itself, which waits for one component at a time and is always
    /// admitted.
    pub(crate) async fn turn(
        &self,
        purpose: CompilePurpose,
        tenant: Option<TenantId>,
    ) -> Result<CompileTurn, QueueFull> {
        let (lane, place) = match (purpose, tenant) {
            (CompilePurpose::Call, _) => (&self.calls, None),
            (CompilePurpose::Inspection, None) => (&self.inspections, None),
            (CompilePurpose::Inspection, Some(tenant)) => {
                (&self.inspections, Some(self.take_place(tenant)?))
            }
        };
        Ok(CompileTurn {
            _permit: lane.acquire(tenant, None).await,
            _place: place,
        })
    }

    fn take_place(&self, tenant: TenantId) -> Result<Place, QueueFull> {
        let mut inspected = self.inspected.lock();
        let total: usize = inspected.values().sum();
        let of_tenant = inspected.get(&tenant).copied().unwrap_or_default();
        if total >= MAX_TOTAL || of_tenant >= MAX_OF_TENANT {
            return Err(QueueFull);
        }
        inspected.insert(tenant, of_tenant + 1);
        Ok(Place {
            tenant,
            inspected: Arc::clone(&self.inspected),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inspected = self.inspected.lock();
        let left = inspected.get(&self.tenant).copied().unwrap_or_default();
        if left > 1 {
            inspected.insert(self.tenant, left - 1);
        } else {
            inspected.remove(&self.tenant);
        }
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

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn turn(
        queue: &CompileQueue,
        purpose: CompilePurpose,
        tenant: Option<TenantId>,
    ) -> Option<Result<CompileTurn, QueueFull>> {
        match poll(pin!(queue.turn(purpose, tenant))) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[test]
    fn what_a_call_needs_does_not_wait_for_inspections() {
        use CompilePurpose::{Call, Inspection};
        let queue = CompileQueue::new();
        let inspected = turn(&queue, Inspection, ONE);
        assert!(matches!(inspected, Some(Ok(_))));
        assert!(turn(&queue, Inspection, None).is_none(), "one at a time");
        let called = turn(&queue, Call, ONE);
        assert!(matches!(called, Some(Ok(_))));
        assert!(turn(&queue, Call, None).is_none(), "one at a time");
    }

    #[test]
    fn inspections_beyond_the_bounds_are_refused_and_places_are_given_back() {
        use CompilePurpose::{Call, Inspection};
        let queue = CompileQueue::new();
        let (mut granted, mut waiting) = (None, Vec::new());
        for tenant in 1..=4 {
            let tenant = Some(TenantId(tenant));
            for _ in 0..MAX_OF_TENANT {
                let mut turn = Box::pin(queue.turn(Inspection, tenant));
                match poll(turn.as_mut()) {
                    Poll::Ready(first) => granted = Some(first.expect("a place")),
                    Poll::Pending => waiting.push(turn),
                }
            }
            assert!(matches!(
                turn(&queue, Inspection, tenant),
                Some(Err(QueueFull))
            ));
        }
        assert!(granted.is_some());
        assert_eq!(waiting.len(), MAX_TOTAL - 1);
        let other = Some(TenantId(9));
        assert!(matches!(
            turn(&queue, Inspection, other),
            Some(Err(QueueFull))
        ));
        assert!(matches!(turn(&queue, Call, other), Some(Ok(_))));
        assert!(turn(&queue, Inspection, None).is_none(), "it waits");
        // A request that was given up leaves its place.
        drop(waiting.pop());
        assert!(turn(&queue, Inspection, other).is_none(), "it waits");
        drop((granted, waiting));
        assert!(queue.inspected.lock().is_empty());
    }
}
