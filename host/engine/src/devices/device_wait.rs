use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use crate::ports::StoreError;

/// How long a request of a device may still wait for the database. All its operations, reading and writing, share this
/// time, so that the device is answered soon: from memory where that is allowed, else that it has to come again. A body
/// that arrives slowly takes none of it.
#[derive(Debug)]
pub struct DeviceWait(AtomicU64);

impl DeviceWait {
    /// The whole time of a request that has just arrived.
    pub fn new(whole: Duration) -> Self {
        let micros = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX);
        Self(AtomicU64::new(micros))
    }

    /// The result of an operation on the database, or that it is not available in the time that is left. An operation that
    /// is a task goes on.
    pub(super) async fn bound<T, E: From<StoreError>>(
        &self,
        operation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let left = self.0.load(Ordering::Relaxed);
        let started = Instant::now();
        let result = timeout(Duration::from_micros(left), operation).await;
        let used = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.store(left.saturating_sub(used), Ordering::Relaxed);
        result.unwrap_or_else(|_| {
            let why = "no answer in the time that a device waits";
            Err(StoreError::Unavailable(why.to_owned()).into())
        })
    }
}

impl Clone for DeviceWait {
    /// A copy has the time that is left, for itself.
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::sleep;

    use super::*;

    const WHOLE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn the_operations_of_a_request_share_its_time() {
        let wait = DeviceWait::new(WHOLE);
        let started = Instant::now();
        let slow = async {
            sleep(Duration::from_secs(2)).await;
            Ok::<_, StoreError>(1)
        };
        assert!(matches!(wait.bound(slow).await, Ok(1)));
        for _ in 0..3 {
            let late = wait.bound(pending::<Result<(), StoreError>>()).await;
            assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
            // Timers count in milliseconds.
            assert!(started.elapsed() < WHOLE + Duration::from_millis(5));
        }
        let known = wait.bound(ready(Ok::<_, StoreError>(1))).await;
        assert!(matches!(known, Ok(1)), "{known:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_operations_of_the_database_take_the_time() {
        let wait = DeviceWait::new(WHOLE);
        sleep(Duration::from_mins(1)).await;
        let slow = async {
            sleep(Duration::from_secs(4)).await;
            Ok::<_, StoreError>(1)
        };
        assert!(matches!(wait.bound(slow).await, Ok(1)));
    }
}
