//! The time that all servers of a database use.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use tidegate_core::time::Timestamp;
use tokio::time::sleep;

use crate::{
    HealthRegistry, chain,
    ports::{Clock, DatabaseHealth, Observer},
};

/// How often the difference to the database's clock is measured.
const PERIOD: Duration = Duration::from_mins(1);
/// How often it is tried until the first measurement succeeds.
const FIRST_PERIOD: Duration = Duration::from_secs(1);
/// Maximum time without a heartbeat before the loop counts as stuck.
const MAX_SILENCE: Duration = Duration::from_mins(5);
/// Maximum duration of a measurement, in milliseconds. A longer one is too inaccurate.
const MAX_ROUND_TRIP_MS: i64 = 1000;
/// Maximum difference in milliseconds that is not logged.
const WARNING_MS: i64 = 2000;
/// Maximum difference in milliseconds with which the server is ready. Certificates and the log use the uncorrected time.
const UNHEALTHY_MS: i64 = 30_000;

/// The server's clock, corrected to the database's. Several servers share a database, and each of them sets leases,
/// deadlines and wake-ups that the others compare with their own time.
pub struct ClusterClock {
    local: Arc<dyn Clock>,
    /// Added to the local time, in milliseconds.
    offset: AtomicI64,
    /// False until the offset is known.
    is_synchronized: AtomicBool,
}

impl ClusterClock {
    pub(crate) fn new(local: Arc<dyn Clock>) -> Self {
        let is_synchronized = AtomicBool::new(!local.follows_database());
        Self {
            local,
            offset: AtomicI64::new(0),
            is_synchronized,
        }
    }

    /// False until the time of the database was measured once, if it has a clock of its own. Until then this server must
    /// not compare times with those of other servers.
    pub(crate) fn is_synchronized(&self) -> bool {
        self.is_synchronized.load(Ordering::Acquire)
    }

    /// Measures the difference to the database's clock, and corrects this one. Without effect if the database has no
    /// clock of its own, or if this one does not follow it.
    pub async fn synchronize<D>(&self, database: &D, observer: &dyn Observer)
    where
        D: DatabaseHealth + Sync + ?Sized,
    {
        if !self.local.follows_database() {
            return;
        }
        let before = self.local.now().0;
        match database.time().await {
            Ok(Some(time)) => self.correct(before, time, self.local.now().0, observer),
            Ok(None) => self.is_synchronized.store(true, Ordering::Release),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "clock of the database not read; retrying");
            }
        }
    }

    /// Measures the difference periodically, until it is dropped; often, until the first measurement succeeds.
    pub(crate) async fn run_loop<D>(
        &self,
        database: &D,
        observer: &dyn Observer,
        health: &Arc<HealthRegistry>,
    ) where
        D: DatabaseHealth + Sync + ?Sized,
    {
        let heartbeat = health.register_loop("clock", MAX_SILENCE);
        loop {
            let is_synchronized = self.is_synchronized();
            sleep(if is_synchronized {
                PERIOD
            } else {
                FIRST_PERIOD
            })
            .await;
            heartbeat.run(self.synchronize(database, observer)).await;
        }
    }

    fn correct(&self, before: i64, time: Timestamp, after: i64, observer: &dyn Observer) {
        let round_trip_ms = after - before;
        if !(0..=MAX_ROUND_TRIP_MS).contains(&round_trip_ms) {
            if !self.is_synchronized() {
                tracing::warn!(
                    round_trip_ms,
                    "clock of the database measured too slowly; retrying"
                );
            }
            return;
        }
        let offset = time.0 - i64::midpoint(before, after);
        self.offset.store(offset, Ordering::Relaxed);
        self.is_synchronized.store(true, Ordering::Release);
        observer.clock_measured(offset);
        if offset.abs() > WARNING_MS {
            tracing::warn!(
                offset_ms = offset,
                "the clocks of this server and of the database differ; synchronize them, for example with NTP"
            );
        }
    }

    /// Why the server is not ready, if its clock is too wrong, or not compared with the database's yet.
    pub(crate) fn unhealthy_reason(&self) -> Option<String> {
        if !self.is_synchronized() {
            return Some(
                "the clock of this server is not synchronized with the one of the database yet"
                    .to_owned(),
            );
        }
        let offset = self.offset.load(Ordering::Relaxed);
        (offset.abs() > UNHEALTHY_MS).then(|| {
            let seconds = offset.abs() / 1000;
            let relation = if offset > 0 { "behind" } else { "ahead of" };
            format!("the clock of this server is {seconds} s {relation} the one of the database")
        })
    }
}

impl Clock for ClusterClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.local.now().0 + self.offset.load(Ordering::Relaxed))
    }

    fn is_wall_clock(&self) -> bool {
        self.local.is_wall_clock()
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tokio::{sync::Notify, time::Instant};

    use super::*;
    use crate::ports::{NoopObserver, StoreError};

    struct FixedClock {
        is_real: bool,
    }

    impl Clock for FixedClock {
        fn now(&self) -> Timestamp {
            Timestamp(1_000_000)
        }

        fn is_wall_clock(&self) -> bool {
            self.is_real
        }
    }

    fn clock() -> ClusterClock {
        ClusterClock::new(Arc::new(FixedClock { is_real: false }))
    }

    #[test]
    fn the_clock_uses_the_time_of_the_database() {
        let clock = clock();
        clock.correct(1_000_000, Timestamp(1_300_050), 1_000_100, &NoopObserver);
        assert_eq!(clock.now(), Timestamp(1_300_000));
        let reason = "the clock of this server is 300 s behind the one of the database";
        assert_eq!(clock.unhealthy_reason().as_deref(), Some(reason));
        clock.correct(1_000_000, Timestamp(960_000), 1_000_000, &NoopObserver);
        let reason = "the clock of this server is 40 s ahead of the one of the database";
        assert_eq!(clock.unhealthy_reason().as_deref(), Some(reason));
        clock.correct(1_000_000, Timestamp(1_030_000), 1_000_000, &NoopObserver);
        assert_eq!(clock.unhealthy_reason(), None);
        assert_eq!(clock.now(), Timestamp(1_030_000));
    }

    #[test]
    fn a_difference_above_two_seconds_is_logged() {
        const MESSAGE: &str = "the clocks of this server and of the database differ; synchronize them, for example with NTP";

        let log = tidegate_captured_log::CapturedLog::start();
        let measure = |difference: i64| {
            let time = Timestamp(1_000_000 + difference);
            clock().correct(1_000_000, time, 1_000_000, &NoopObserver);
            log.events(MESSAGE).len()
        };
        assert_eq!((measure(2000), measure(-2000)), (0, 0));
        assert_eq!((measure(2001), measure(-2001)), (1, 2));
    }

    /// A database whose time runs ahead by another second at each measurement.
    #[derive(Default)]
    struct FastDatabase {
        measurements: AtomicI64,
        measured: Notify,
    }

    #[async_trait]
    impl DatabaseHealth for FastDatabase {
        async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
            let count = self.measurements.fetch_add(1, Ordering::Relaxed) + 1;
            self.measured.notify_one();
            Ok(Some(Timestamp(1_000_000 + count * 1000)))
        }

        fn unhealthy_reason(&self) -> Option<String> {
            None
        }

        fn is_unavailable(&self) -> bool {
            false
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_difference_is_measured_every_minute() {
        let clock = ClusterClock::new(Arc::new(FixedClock { is_real: true }));
        let (database, health) = (FastDatabase::default(), Arc::default());
        clock.synchronize(&database, &NoopObserver).await;
        database.measured.notified().await;
        let started = Instant::now();
        let watch = async {
            for minute in 1..=3 {
                database.measured.notified().await;
                assert_eq!(started.elapsed().as_secs(), 60 * minute);
            }
        };
        tokio::select! {
            biased;
            () = clock.run_loop(&database, &NoopObserver, &health) => panic!("the loop ended"),
            () = watch => {}
        }
        assert_eq!(clock.now(), Timestamp(1_004_000));
    }

    /// A clock that tokio's time moves.
    struct PausedClock(Instant);

    impl Clock for PausedClock {
        fn now(&self) -> Timestamp {
            Timestamp(1_000_000).plus(self.0.elapsed())
        }

        fn is_wall_clock(&self) -> bool {
            true
        }
    }

    /// A database five minutes behind, which refuses its first answer, gives the second one late, and later ones at once.
    struct SlowDatabase {
        started: Instant,
        measurements: AtomicI64,
    }

    #[async_trait]
    impl DatabaseHealth for SlowDatabase {
        async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
            match self.measurements.fetch_add(1, Ordering::Relaxed) {
                0 => return Err(StoreError::Unavailable("no connection".to_owned())),
                1 => sleep(Duration::from_millis(1001)).await,
                _ => {}
            }
            Ok(Some(Timestamp(700_000).plus(self.started.elapsed())))
        }

        fn unhealthy_reason(&self) -> Option<String> {
            None
        }

        fn is_unavailable(&self) -> bool {
            false
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_measurement_is_tried_every_second_and_the_server_is_not_ready_before() {
        const REASON: &str =
            "the clock of this server is not synchronized with the one of the database yet";

        let started = Instant::now();
        let clock = ClusterClock::new(Arc::new(PausedClock(started)));
        let database = SlowDatabase {
            started,
            measurements: AtomicI64::new(0),
        };
        let health = Arc::default();
        assert_eq!(clock.unhealthy_reason().as_deref(), Some(REASON));
        clock.synchronize(&database, &NoopObserver).await;
        assert_eq!(clock.unhealthy_reason().as_deref(), Some(REASON), "refused");
        let watch = async {
            sleep(Duration::from_millis(2500)).await;
            assert_eq!(database.measurements.load(Ordering::Relaxed), 2);
            assert_eq!(
                clock.unhealthy_reason().as_deref(),
                Some(REASON),
                "too slow"
            );
            assert!(!clock.is_synchronized());
            sleep(Duration::from_millis(600)).await;
            assert!(clock.is_synchronized());
            let reason = "the clock of this server is 300 s ahead of the one of the database";
            assert_eq!(clock.unhealthy_reason().as_deref(), Some(reason));
            let expected = Timestamp(700_000).plus(started.elapsed());
            assert_eq!(clock.now(), expected);
        };
        tokio::select! {
            biased;
            () = clock.run_loop(&database, &NoopObserver, &health) => panic!("the loop ended"),
            () = watch => {}
        }
    }

    #[test]
    fn a_slow_or_disturbed_measurement_is_ignored() {
        let clock = clock();
        clock.correct(1_000_000, Timestamp(1_300_000), 1_001_001, &NoopObserver);
        clock.correct(1_000_000, Timestamp(1_300_000), 999_999, &NoopObserver);
        assert_eq!(clock.now(), Timestamp(1_000_000));
    }

    #[tokio::test]
    async fn a_database_without_a_clock_needs_no_measurement() {
        struct NoClock;

        #[async_trait]
        impl DatabaseHealth for NoClock {
            async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
                Ok(None)
            }

            fn unhealthy_reason(&self) -> Option<String> {
                None
            }

            fn is_unavailable(&self) -> bool {
                false
            }
        }

        assert!(clock().is_synchronized(), "simulated");
        let clock = ClusterClock::new(Arc::new(FixedClock { is_real: true }));
        clock.synchronize(&NoClock, &NoopObserver).await;
        assert!(clock.is_synchronized());
        assert_eq!(clock.unhealthy_reason(), None);
    }
}
