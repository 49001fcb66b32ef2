//! Concurrent small operations share one transaction: writes in a group commit, and reads in one statement.

use std::{future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidegate_engine::ports::StoreError;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::{Instrument as _, Span};

use crate::database::LockWait;

/// A batch that failed within this time is tried again.
const RETRY_WITHIN: Duration = Duration::from_secs(1);
/// The time for a batch with locked rows. Its other items are written one by one, as many as fit.
const LOCKED_BATCH_LIMIT: Duration = Duration::from_secs(4);
/// Items that wait for longer, while none is written, are a fault.
const MAX_STALL: Duration = Duration::from_secs(5);
/// A fault is over when no item has waited for this time.
const FAULT_MEMORY: Duration = Duration::from_secs(10);

/// Executes many items in one transaction.
pub(crate) trait Batch: Send + Sync + 'static {
    type Item: Send + Sync + 'static;
    /// The result of one item.
    type Output: Send + 'static;
    /// What the items are, for the span of a batch.
    const NAME: &'static str;
    const KIND: BatchKind;

    /// Executes the items in this order in one transaction and returns a result for each. On an error, nothing is
    /// written.
    fn execute(
        &self,
        items: &[Self::Item],
        lock_wait: LockWait,
    ) -> impl Future<Output = Result<Vec<Self::Output>, StoreError>> + Send;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchKind {
    Write,
    Read,
}

/// Passes items to one task, which executes the queued items as one batch, up to a maximum size. Items queue while a
/// batch is being executed, so batches grow with the load and a single item is executed immediately.
pub(crate) struct Batcher<B: Batch> {
    queued: mpsc::Sender<QueuedItem<B>>,
    progress: Arc<BatchProgress>,
}

struct QueuedItem<B: Batch> {
    item: B::Item,
    reply: oneshot::Sender<Result<B::Output, StoreError>>,
}

impl<B: Batch> Batcher<B> {
    /// Starts the task. It ends when this is dropped and all queued items are executed. `bound` is the maximum
    /// batch size; [`Self::submit`] waits while twice as many items are queued.
    pub(crate) fn start(batch: B, bound: usize) -> Self {
        let (queued, queue) = mpsc::channel(bound * 2);
        let progress = Arc::<BatchProgress>::default();
        tokio::spawn(execute_batches(batch, queue, bound, Arc::clone(&progress)));
        Self { queued, progress }
    }

    /// Why items wait and none is written.
    pub(crate) fn unhealthy_reason(&self) -> Option<String> {
        let seconds = self.progress.stalled_for()?.as_secs();
        Some(format!(
            "{} wait, and none was written for {seconds} s",
            B::NAME
        ))
    }

    /// Executes the item in a batch. What it writes is durable when this returns.
    pub(crate) async fn submit(&self, item: B::Item) -> Result<B::Output, StoreError> {
        let (reply, receiver) = oneshot::channel();
        let stopped = || StoreError::Unavailable("the store is closed".to_owned());
        let queued = QueuedItem { item, reply };
        self.queued.send(queued).await.map_err(|_| stopped())?;
        receiver.await.map_err(|_| stopped())?
    }
}

/// Whether a batcher makes progress.
#[derive(Default)]
struct BatchProgress(Mutex<ProgressState>);

#[derive(Default)]
struct ProgressState {
    /// When the first item began to wait that was not written, while none was.
    unwritten_since: Option<Instant>,
    /// The end of the last batch. `None`: a batch is being written.
    last_end: Option<Instant>,
}

impl BatchProgress {
    fn begin(&self) {
        let mut state = self.0.lock();
        state.unwritten_since.get_or_insert_with(Instant::now);
        state.last_end = None;
    }

    fn end(&self, any_written: bool) {
        let mut state = self.0.lock();
        state.last_end = Some(Instant::now());
        if any_written {
            state.unwritten_since = None;
        }
    }

    fn stalled_for(&self) -> Option<Duration> {
        let mut state = self.0.lock();
        if state
            .last_end
            .is_some_and(|end| end.elapsed() >= FAULT_MEMORY)
        {
            state.unwritten_since = None;
        }
        let stalled = state.unwritten_since?.elapsed();
        (stalled >= MAX_STALL).then_some(stalled)
    }
}

async fn execute_batches<B: Batch>(
    batch: B,
    mut queue: mpsc::Receiver<QueuedItem<B>>,
    bound: usize,
    progress: Arc<BatchProgress>,
) {
    let mut queued = Vec::with_capacity(bound);
    while queue.recv_many(&mut queued, bound).await > 0 {
        if B::KIND == BatchKind::Read {
            // The callers were cancelled.
            queued.retain(|queued| !queued.reply.is_closed());
        }
        let (items, replies): (Vec<_>, Vec<_>) = queued
            .drain(..)
            .map(|queued| (queued.item, queued.reply))
            .unzip();
        if items.is_empty() {
            continue;
        }
        progress.begin();
        let results = execute_batch(&batch, &items)
            .instrument(span::<B>(items.len()))
            .await;
        progress.end(results.iter().any(has_reached_database));
        for (result, reply) in results.into_iter().zip(replies) {
            // The caller may have been cancelled; the item is executed nevertheless.
            let _ = reply.send(result);
        }
    }
}

fn span<B: Batch>(items: usize) -> Span {
    match B::KIND {
        BatchKind::Write => tracing::error_span!("group_commit", batch = B::NAME, items),
        BatchKind::Read => tracing::error_span!("group_read", batch = B::NAME, items),
    }
}

/// Whether the database took the item or refused it.
fn has_reached_database<T>(result: &Result<T, StoreError>) -> bool {
    !matches!(
        result,
        Err(StoreError::Unavailable(_) | StoreError::Locked(_) | StoreError::NoSpace(_))
    )
}

/// Executes a batch. If the database was unavailable, or chose the batch as a deadlock victim, the whole batch is retried
/// once, unless that took long. After any other error but a full disk, its items are executed one by one, so that an
/// invalid item, or one whose row is locked, fails alone.
async fn execute_batch<B: Batch>(
    batch: &B,
    items: &[B::Item],
) -> Vec<Result<B::Output, StoreError>> {
    let started = Instant::now();
    let mut executed = batch.execute(items, LockWait::Normal).await;
    if let Err(StoreError::Unavailable(_)) = executed
        && started.elapsed() < RETRY_WITHIN
    {
        executed = batch.execute(items, LockWait::Normal).await;
    }
    let fail_all = |error: &dyn Fn() -> StoreError| items.iter().map(|_| Err(error())).collect();
    match executed {
        Ok(outputs) => outputs.into_iter().map(Ok).collect(),
        Err(StoreError::Unavailable(why)) => fail_all(&|| StoreError::Unavailable(why.clone())),
        Err(StoreError::NoSpace(why)) => fail_all(&|| StoreError::NoSpace(why.clone())),
        Err(error) if items.len() == 1 => vec![Err(error)],
        Err(error) => {
            let is_locked = matches!(error, StoreError::Locked(_));
            execute_singly(
                batch,
                items,
                is_locked.then_some(started + LOCKED_BATCH_LIMIT),
            )
            .await
        }
    }
}

/// Executes items one by one until a time; the others are not tried then.
async fn execute_singly<B: Batch>(
    batch: &B,
    items: &[B::Item],
    until: Option<Instant>,
) -> Vec<Result<B::Output, StoreError>> {
    let mut results = Vec::with_capacity(items.len());
    for item in items {
        if until.is_some_and(|until| Instant::now() >= until) {
            let why = "rows of other items are locked".to_owned();
            results.push(Err(StoreError::Locked(why)));
            continue;
        }
        let outputs = batch
            .execute(std::slice::from_ref(item), LockWait::Short)
            .await;
        results.push(outputs.and_then(single_output));
    }
    results
}

fn single_output<A>(outputs: Vec<A>) -> Result<A, StoreError> {
    outputs
        .into_iter()
        .next()
        .ok_or_else(|| StoreError::Internal {
            context: "execute a batch",
            source: "the batch returned no result for an item".into(),
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::Semaphore;

    use super::*;

    /// An item whose row is locked.
    const LOCKED: u32 = 14;

    /// Waits for a permit before each write; refuses the item 13.
    struct TestBatch {
        permits: Semaphore,
        sizes: Mutex<Vec<usize>>,
    }

    impl Batch for Arc<TestBatch> {
        type Item = u32;
        type Output = u32;
        const NAME: &'static str = "numbers";
        const KIND: BatchKind = BatchKind::Write;

        async fn execute(&self, items: &[u32], _: LockWait) -> Result<Vec<u32>, StoreError> {
            let permit = self.permits.acquire().await;
            permit.expect("an open semaphore").forget();
            self.sizes.lock().push(items.len());
            if items.contains(&13) {
                return Err(StoreError::Conflict("13".to_owned()));
            }
            if items.contains(&LOCKED) {
                tokio::time::sleep(Duration::from_secs(1)).await;
                return Err(StoreError::Locked("a row".to_owned()));
            }
            Ok(items.iter().map(|item| item * 2).collect())
        }
    }

    fn test_batch() -> Arc<TestBatch> {
        Arc::new(TestBatch {
            permits: Semaphore::new(0),
            sizes: Mutex::default(),
        })
    }

    #[tokio::test]
    async fn queued_items_are_written_together_and_answered_separately() {
        let test_batch = test_batch();
        let batcher = Batcher::start(test_batch.clone(), 8);
        // The futures are polled in order: the first item is written alone, the others queue behind it.
        let all = futures::future::join_all((0..6).map(|item| batcher.submit(item)));
        let free = async {
            while batcher.queued.capacity() > 16 - 5 {
                tokio::task::yield_now().await;
            }
            test_batch.permits.add_permits(100);
        };
        let (results, ()) = tokio::join!(all, free);
        let results: Vec<u32> = results
            .into_iter()
            .map(|reply| reply.expect("written"))
            .collect();
        assert_eq!(results, [0, 2, 4, 6, 8, 10]);
        let sizes = test_batch.sizes.lock().clone();
        assert_eq!(sizes.iter().sum::<usize>(), 6);
        assert!(sizes.len() <= 2, "{sizes:?}");
    }

    #[tokio::test]
    async fn a_commit_has_a_span() {
        let log = tidegate_captured_log::CapturedLog::start();
        let test_batch = test_batch();
        test_batch.permits.add_permits(1);
        let batcher = Batcher::start(test_batch, 8);
        batcher.submit(1).await.expect("written");
        let spans = log.ended_spans("group_commit", 1).await;
        let expected = serde_json::json!({"name": "group_commit", "batch": "numbers", "items": 1});
        assert_eq!(spans, [expected]);
    }

    #[tokio::test]
    async fn an_item_that_fails_fails_no_other_item() {
        let test_batch = test_batch();
        test_batch.permits.add_permits(100);
        let batcher = Batcher::start(test_batch, 8);
        let results = futures::future::join_all([1, 13, 3].map(|item| batcher.submit(item))).await;
        assert!(matches!(results[0], Ok(2)));
        assert!(matches!(&results[1], Err(StoreError::Conflict(_))));
        assert!(matches!(results[2], Ok(6)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_item_whose_row_is_locked_holds_up_no_other_item() {
        let test_batch = test_batch();
        test_batch.permits.add_permits(100);
        let batcher = Batcher::start(test_batch.clone(), 8);
        let items = [1, LOCKED, 3];
        let results = futures::future::join_all(items.map(|item| batcher.submit(item))).await;
        assert!(matches!(results[0], Ok(2)));
        assert!(matches!(&results[1], Err(StoreError::Locked(_))));
        assert!(matches!(results[2], Ok(6)));
        assert_eq!(batcher.unhealthy_reason(), None, "others were written");
    }

    #[tokio::test(start_paused = true)]
    async fn locked_rows_delay_the_next_batch_for_a_bounded_time() {
        let test_batch = test_batch();
        test_batch.permits.add_permits(100);
        let batcher = Batcher::start(test_batch.clone(), 64);
        let started = Instant::now();
        let results = futures::future::join_all((0..40).map(|_| batcher.submit(LOCKED))).await;
        assert!(results.iter().all(Result::is_err));
        let limit = LOCKED_BATCH_LIMIT + Duration::from_secs(2);
        assert!(started.elapsed() <= limit, "{:?}", started.elapsed());
        assert_eq!(batcher.submit(1).await.expect("written"), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_whose_items_only_wait_is_unhealthy() {
        let test_batch = test_batch();
        let batcher = Batcher::start(test_batch.clone(), 8);
        assert_eq!(batcher.unhealthy_reason(), None);
        let mut waiting = Box::pin(batcher.submit(1));
        assert!(futures::poll!(&mut waiting).is_pending());
        tokio::time::sleep(MAX_STALL).await;
        let reason = "numbers wait, and none was written for 5 s";
        assert_eq!(batcher.unhealthy_reason().as_deref(), Some(reason));
        test_batch.permits.add_permits(100);
        assert_eq!(waiting.await.expect("written"), 2);
        assert_eq!(batcher.unhealthy_reason(), None);

        for _ in 0..6 {
            assert!(batcher.submit(LOCKED).await.is_err());
        }
        assert!(batcher.unhealthy_reason().is_some());
        tokio::time::sleep(FAULT_MEMORY).await;
        assert_eq!(batcher.unhealthy_reason(), None, "no item waits");
    }
}
