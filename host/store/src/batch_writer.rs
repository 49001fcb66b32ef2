//! Group commit: many small writes that wait at the same time become one transaction.

use std::future::Future;

use tidegate_engine::ports::StoreError;
use tokio::sync::{mpsc, oneshot};

/// How one transaction writes many items.
pub(crate) trait Batch: Send + Sync + 'static {
    /// One write.
    type Item: Send + Sync + 'static;
    /// What comes of it.
    type Output: Send + 'static;

    /// Writes all of them in one transaction, in this order, and answers each. When it fails nothing is written.
    fn write(
        &self,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Self::Output>, StoreError>> + Send;
}

/// Hands items to one task that writes whatever waits, up to a bound, as one batch. While one batch is being
/// committed the next one gathers, so a batch grows with the load and a lone item waits for nobody.
pub(crate) struct BatchWriter<B: Batch> {
    waiting: mpsc::Sender<QueuedItem<B>>,
}

struct QueuedItem<B: Batch> {
    item: B::Item,
    answer: oneshot::Sender<Result<B::Output, StoreError>>,
}

impl<B: Batch> BatchWriter<B> {
    /// Starts the task; it ends when the gatherer is dropped and everything taken on is written. `bound` is the most
    /// items of one batch; twice as many may wait before [`Self::submit`] waits itself.
    pub(crate) fn start(batch: B, bound: usize) -> Self {
        let (waiting, queue) = mpsc::channel(bound * 2);
        tokio::spawn(write_batches(batch, queue, bound));
        Self { waiting }
    }

    /// Writes this item, together with others; durable when this returns.
    pub(crate) async fn submit(&self, item: B::Item) -> Result<B::Output, StoreError> {
        let (answer, answered) = oneshot::channel();
        let stopped = || StoreError::Unavailable("the store is closed".to_owned());
        let waiting = QueuedItem { item, answer };
        self.waiting.send(waiting).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

async fn write_batches<B: Batch>(batch: B, mut queue: mpsc::Receiver<QueuedItem<B>>, bound: usize) {
    let mut waiting = Vec::with_capacity(bound);
    while queue.recv_many(&mut waiting, bound).await > 0 {
        let (items, answers): (Vec<_>, Vec<_>) = waiting
            .drain(..)
            .map(|waiting| (waiting.item, waiting.answer))
            .unzip();
        for (result, answer) in write_batch(&batch, &items).await.into_iter().zip(answers) {
            // Whoever asked may have gone away; the item is written all the same.
            let _ = answer.send(result);
        }
    }
}

/// One item that cannot be written must not take the others with it: a batch that fails is written item by item. But
/// when the database cannot be reached, or chose this batch to end a deadlock, the whole is tried once more.
async fn write_batch<B: Batch>(batch: &B, items: &[B::Item]) -> Vec<Result<B::Output, StoreError>> {
    let mut written = batch.write(items).await;
    if let Err(StoreError::Unavailable(_)) = written {
        written = batch.write(items).await;
    }
    match written {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(StoreError::Unavailable(why)) => {
            let unavailable = || Err(StoreError::Unavailable(why.clone()));
            items.iter().map(|_| unavailable()).collect()
        }
        Err(error) if items.len() == 1 => vec![Err(error)],
        Err(_) => {
            let mut results = Vec::with_capacity(items.len());
            for item in items {
                let answers = batch.write(std::slice::from_ref(item)).await;
                results.push(answers.and_then(single_output));
            }
            results
        }
    }
}

fn single_output<A>(answers: Vec<A>) -> Result<A, StoreError> {
    answers
        .into_iter()
        .next()
        .ok_or_else(|| StoreError::Internal {
            context: "write a batch",
            source: "an item has no answer".into(),
        })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Semaphore;

    use super::*;

    /// Writes when it is let; refuses the item 13.
    struct TestBatch {
        let_in: Semaphore,
        sizes: Mutex<Vec<usize>>,
    }

    impl Batch for Arc<TestBatch> {
        type Item = u32;
        type Output = u32;

        async fn write(&self, items: &[u32]) -> Result<Vec<u32>, StoreError> {
            let permit = self.let_in.acquire().await;
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
            let_in: Semaphore::new(0),
            sizes: Mutex::default(),
        })
    }

    #[tokio::test]
    async fn queued_items_are_written_together_and_answered_separately() {
        let test_batch = test_batch();
        let gather = BatchWriter::start(test_batch.clone(), 8);
        // Polled one after the other: the first goes alone, the others gather behind it.
        let all = futures::future::join_all((0..6).map(|item| gather.submit(item)));
        let free = async {
            while gather.waiting.capacity() > 16 - 5 {
                tokio::task::yield_now().await;
            }
            test_batch.let_in.add_permits(100);
        };
        let (answers, ()) = tokio::join!(all, free);
        let answers: Vec<u32> = answers
            .into_iter()
            .map(|answer| answer.expect("written"))
            .collect();
        assert_eq!(answers, [0, 2, 4, 6, 8, 10]);
        let sizes = test_batch.sizes.lock().expect("no panic").clone();
        assert_eq!(sizes.iter().sum::<usize>(), 6);
        assert!(sizes.len() <= 2, "{sizes:?}");
    }

    #[tokio::test]
    async fn an_item_that_fails_fails_no_other_item() {
        let test_batch = test_batch();
        test_batch.let_in.add_permits(100);
        let gather = BatchWriter::start(test_batch, 8);
        let answers = futures::future::join_all([1, 13, 3].map(|item| gather.submit(item))).await;
        assert!(matches!(answers[0], Ok(2)));
        assert!(matches!(&answers[1], Err(StoreError::Conflict(_))));
        assert!(matches!(answers[2], Ok(6)));
    }
}
