//! Work that ends whether or not its caller waits for it.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::FutureExt as _;
use tokio::runtime::Handle;
use tracing::Instrument as _;

/// The work panicked. The process's panic hook has reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task panicked")]
pub(crate) struct Panicked;

/// Does the work to its end. It runs in the task of the caller, and in a task of its own once the caller stops waiting: a
/// task for all work would cost a switch of threads for each.
pub(crate) async fn run_to_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Panicked> {
    let work = AssertUnwindSafe(work).catch_unwind();
    Unattended(Some(Box::pin(work))).await.map_err(panicked)
}

fn panicked(_: Box<dyn Any + Send>) -> Panicked {
    Panicked
}

/// A future that goes on in a task of its own if it is dropped before its end. Without a runtime the server is going down.
struct Unattended<F>(Option<Pin<Box<F>>>)
where
    F: Future<Output: Send> + Send + 'static;

impl<F> Future for Unattended<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = &mut self.0 else {
            return Poll::Pending;
        };
        let output = ready!(work.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(output)
    }
}

impl<F> Drop for Unattended<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work.in_current_span());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_ends_in_the_task_of_its_caller() {
        let caller = tokio::spawn(async {
            let task = run_to_end(async { tokio::task::id() }).await;
            (task, tokio::task::id())
        });
        let (task, caller) = caller.await.expect("the caller ends");
        assert_eq!(task, Ok(caller));
    }

    #[tokio::test]
    async fn work_goes_on_without_its_caller() {
        let (go, wait) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let work = run_to_end(async {
            wait.await.expect("the test goes on");
            done.send(()).expect("the test waits");
        });
        assert!(work.now_or_never().is_none(), "it waits");
        go.send(()).expect("the work goes on");
        is_done.await.expect("the end of the work");
    }

    #[tokio::test]
    async fn work_that_was_never_begun_is_not_done() {
        let is_done = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&is_done);
        drop(run_to_end(
            async move { done.store(true, Ordering::SeqCst) },
        ));
        tokio::task::yield_now().await;
        assert!(!is_done.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_and_not_its_caller() {
        let panicking = run_to_end(async {
            tokio::task::yield_now().await;
            panic!("a panic of a test")
        });
        assert_eq!(panicking.await, Err::<(), _>(Panicked));
    }
}
