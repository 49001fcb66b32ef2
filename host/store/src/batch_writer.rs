//! Group commit: concurrent small writes share one transaction.

use std::future::Future;

use tidegate_engine::ports::StoreError;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

/// Writes many items in one transaction.
pub(crate) trait Batch: Send + Sync + 'static {
    type Item: Send + Sync + 'static;
    /// The result of one item.
    type Output: Send + 'static;
    /// What the items are, for the span of a commit.
    const NAME: &'static str;

    /// Writes the items in this order in one transaction and returns a result for each. On an error, nothing is
    /// written.
    fn write(
        &self,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Self::Output>, StoreError>> + Send;
}

/// Passes items to one task, which writes the queued items as one batch, up to a maximum size. Items queue while a
/// batch is being committed, so batches grow with the load and a single item is written immediately.
pub(crate) struct BatchWriter<B: Batch> {
    queued: mpsc::Sender<QueuedItem<B>>,
}

struct QueuedItem<B: Batch> {
    item: B::Item,
    reply: oneshot::Sender<Result<B::Output, StoreError>>,
}

impl<B: Batch> BatchWriter<B> {
    /// Starts the task. It ends when the writer is dropped and all queued items are written. `bound` is the maximum
    /// batch size; [`Self::submit`] waits while twice as many items are queued.
    pub(crate) fn start(batch: B, bound: usize) -> Self {
        let (queued, queue) = mpsc::channel(bound * 2);
        tokio::spawn(write_batches(batch, queue, bound));
        Self { queued }
    }

    /// Writes the item in a batch. It is durable when this returns.
    pub(crate) async fn submit(&self, item: B::Item) -> Result<B::Output, StoreError> {
        let (reply, receiver) = oneshot::channel();
        let stopped = || StoreError::Unavailable("the store is closed".to_owned());
        let queued = QueuedItem { item, reply };
        self.queued.send(queued).await.map_err(|_| stopped())?;
        receiver.await.map_err(|_| stopped())?
    }
}

async fn write_batches<B: Batch>(batch: B, mut queue: mpsc::Receiver<QueuedItem<B>>, bound: usize) {
    let mut queued = Vec::with_capacity(bound);
    while queue.recv_many(&mut queued, bound).await > 0 {
        let (items, replies): (Vec<_>, Vec<_>) = queued
            .drain(..)
            .map(|queued| (queued.item, queued.reply))
            .unzip();
        let span = tracing::error_span!("group_commit", batch = B::NAME, items = items.len());
        let results = write_batch(&batch, &items).instrument(span).await;
        for (result, reply) in results.into_iter().zip(replies) {
            // The caller may have been cancelled; the item is written nevertheless.
            let _ = reply.send(result);
        }
    }
}

/// Writes a batch. After an error, its items are written one by one, so that an invalid item fails alone. If the
/// database was unavailable, or chose the batch as a deadlock victim, the whole batch is retried once instead.
async fn write_batch<B: Batch>(batch: &B, items: &[B::Item]) -> Vec<Result<B::Output, StoreError>> {
    let mut written = batch.write(items).await;
    if let Err(StoreError::Unavailable(_)) = written {
        written = batch.write(items).await;
    }
    match written {
        Ok(outputs) => outputs.into_iter().map(Ok).collect(),
        Err(StoreError::Unavailable(why)) => {
            let unavailable = || Err(StoreError::Unavailable(why.clone()));
            items.iter().map(|_| unavailable()).collect()
        }
        Err(error) if items.len() == 1 => vec![Err(error)],
        Err(_) => {
            let mut results = Vec::with_capacity(items.len());
            for item in items {
                let outputs = batch.write(std::slice::from_ref(item)).await;
                results.push(outputs.and_then(single_output));
            }
            results
        }
    }
}

fn single_output<A>(outputs: Vec<A>) -> Result<A, StoreError> {
    outputs
        .into_iter()
        .next()
        .ok_or_else(|| StoreError::Internal {
            context: "write a batch",
            source: "the batch returned no result for an item".into(),
        })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Semaphore;

    use super::*;

    /// Waits for a permit before each write; refuses the item 13.
    struct TestBatch {
        permits: Semaphore,
        sizes: Mutex<Vec<usize>>,
    }

    impl Batch for Arc<TestBatch> {
        type Item = u32;
        type Output = u32;
        const NAME: &'static str = "numbers";

        async fn write(&self, items: &[u32]) -> Result<Vec<u32>, StoreError> {
            let permit = self.permits.acquire().await;
            permit.expect("an open semaphore").forget();
            self.sizes.lock().expect("no panic").push(items.len());
            if items.contains(&13) {
                return Err(StoreError::Conflict("13".to_owned()));
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
        let writer = BatchWriter::start(test_batch.clone(), 8);
        // The futures are polled in order: the first item is written alone, the others queue behind it.
        let all = futures::future::join_all((0..6).map(|item| writer.submit(item)));
        let free = async {
            while writer.queued.capacity() > 16 - 5 {
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
        let sizes = test_batch.sizes.lock().expect("no panic").clone();
        assert_eq!(sizes.iter().sum::<usize>(), 6);
        assert!(sizes.len() <= 2, "{sizes:?}");
    }

    #[tokio::test]
    async fn a_commit_has_a_span() {
        let log = tidegate_captured_log::CapturedLog::start();
        let test_batch = test_batch();
        test_batch.permits.add_permits(1);
        let writer = BatchWriter::start(test_batch, 8);
        writer.submit(1).await.expect("written");
        let spans = log.ended_spans("group_commit", 1).await;
        let expected = serde_json::json!({"name": "group_commit", "batch": "numbers", "items": 1});
        assert_eq!(spans, [expected]);
    }

    #[tokio::test]
    async fn an_item_that_fails_fails_no_other_item() {
        let test_batch = test_batch();
        test_batch.permits.add_permits(100);
        let writer = BatchWriter::start(test_batch, 8);
        let results = futures::future::join_all([1, 13, 3].map(|item| writer.submit(item))).await;
        assert!(matches!(results[0], Ok(2)));
        assert!(matches!(&results[1], Err(StoreError::Conflict(_))));
        assert!(matches!(results[2], Ok(6)));
    }
}
