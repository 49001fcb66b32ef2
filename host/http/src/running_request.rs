//! The device request that a thread is running. Its span has only its id, because more fields would slow polls down; the
//! report of a panic names its route and tenant.

use std::{cell::Cell, future::poll_fn, pin::pin};

use tidegate_core::id::TenantId;

/// A request of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRequest {
    /// The template of its path.
    pub route: &'static str,
    /// Its tenant, once that is known.
    pub tenant: Option<TenantId>,
}

thread_local! {
    static RUNNING: Cell<Option<DeviceRequest>> = const { Cell::new(None) };
}

/// The device request that this thread is running.
pub fn running_device_request() -> Option<DeviceRequest> {
    RUNNING.get()
}

/// Runs the handler of a request; `route` is that of a device request.
pub(crate) async fn run<F: Future>(route: Option<&'static str>, handler: F) -> F::Output {
    let tenant = None;
    let mut request = route.map(|route| DeviceRequest { route, tenant });
    let mut handler = pin!(handler);
    poll_fn(|cx| {
        let _restored = OuterRequest(RUNNING.replace(request));
        let polled = handler.as_mut().poll(cx);
        request = RUNNING.get();
        polled
    })
    .await
}

/// Adds the tenant to the running device request.
pub(crate) fn note_tenant(tenant: TenantId) {
    let request = RUNNING.get();
    let tenant = Some(tenant);
    RUNNING.set(request.map(|request| DeviceRequest { tenant, ..request }));
}

/// The request that the thread was running before. It is restored on drop, also if the handler panics.
struct OuterRequest(Option<DeviceRequest>);

impl Drop for OuterRequest {
    fn drop(&mut self) {
        RUNNING.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures::FutureExt as _;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn a_request_runs_while_its_handler_is_polled() {
        let request = |tenant| DeviceRequest {
            route: "/poll",
            tenant,
        };
        let handler = async {
            assert_eq!(running_device_request(), Some(request(None)));
            note_tenant(TenantId(7));
            yield_now().await;
            let inner = run(None, async { running_device_request() });
            assert_eq!(inner.await, None);
            running_device_request()
        };
        let mut running = pin!(run(Some("/poll"), handler));
        assert!(running.as_mut().now_or_never().is_none());
        assert_eq!(running_device_request(), None, "between two polls");
        assert_eq!(running.await, Some(request(Some(TenantId(7)))));
        assert_eq!(running_device_request(), None);
        note_tenant(TenantId(7));
        assert_eq!(running_device_request(), None);
    }

    #[tokio::test]
    async fn a_request_ends_with_its_panic() {
        let panicking = run(Some("/poll"), async { panic!("a panic of a test") });
        assert!(AssertUnwindSafe(panicking).catch_unwind().await.is_err());
        assert_eq!(running_device_request(), None);
    }
}
