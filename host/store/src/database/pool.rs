use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use sqlx::{
    AnyConnection, AnyPool, AssertSqlSafe, Connection as _,
    any::{AnyConnectOptions, AnyPoolOptions},
    pool::PoolConnection,
};
use tidegate_engine::ports::StoreError;
use tokio::time::{Instant, timeout};

use super::connection::ConnectionCount;
use crate::{dialect::Dialect, error::failed, time_limits::TimeLimits};

/// A connection that was idle for longer is pinged before use.
const PING_AFTER_IDLE: Duration = Duration::from_secs(10);
/// Delay between two attempts to reach a database that cannot be reached.
const RETRY_DELAY: Duration = Duration::from_millis(250);
/// PostgreSQL closes a connection whose server vanished after this many seconds without an answer.
const KEEPALIVE: &str = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; \
     SELECT set_config('tcp_user_timeout', '10000', false) WHERE version() LIKE '%linux%'";

/// A pool of connections with the same settings.
#[derive(Clone)]
pub(super) struct Pool {
    connections: AnyPool,
    in_use: Arc<AtomicU32>,
    outage: Arc<Outage>,
    limits: TimeLimits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PoolRole {
    Read,
    Write,
    Point,
    /// Its statements take any time.
    Migrate,
}

impl Pool {
    pub(super) async fn open(
        dialect: Dialect,
        options: &AnyConnectOptions,
        connections: u32,
        role: PoolRole,
        limits: TimeLimits,
    ) -> Result<Self, StoreError> {
        let pool = AnyPoolOptions::new()
            .acquire_timeout(limits.connect + limits.busy)
            .test_before_acquire(false);
        let pool = match dialect {
            Dialect::Postgres => postgres(pool, role, limits).max_connections(connections),
            Dialect::Sqlite => sqlite(pool, role, limits).max_connections(match role {
                PoolRole::Write | PoolRole::Migrate => 1,
                PoolRole::Read | PoolRole::Point => connections,
            }),
        };
        let error = match pool.connect_with(options.clone()).await {
            Ok(connections) => {
                return Ok(Self {
                    connections,
                    in_use: Arc::default(),
                    outage: Arc::default(),
                    limits,
                });
            }
            // A pool that timed out does not report why its attempts failed: connect once more for the error.
            Err(sqlx::Error::PoolTimedOut) => AnyConnection::connect_with(options).await.err(),
            Err(error) => Some(error),
        };
        let error = error.unwrap_or(sqlx::Error::PoolTimedOut);
        Err(failed("connect to the database")(error))
    }

    /// Gets a connection. If transactions use all of them, this waits for one; else the database is given only the
    /// time for a new connection. While the database cannot be reached, one caller at a time tries, and the others fail
    /// at once.
    pub(super) async fn acquire(
        &self,
    ) -> Result<(PoolConnection<sqlx::Any>, ConnectionCount), sqlx::Error> {
        if self.connections.num_idle() == 0 && !self.outage.may_try(self.limits.connect) {
            return Err(sqlx::Error::PoolTimedOut);
        }
        let mut acquiring = pin!(self.connections.acquire());
        let acquired = match timeout(self.limits.connect, &mut acquiring).await {
            Ok(acquired) => acquired,
            Err(_) if self.is_in_use() => acquiring.await,
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        };
        match &acquired {
            Ok(_) => self.outage.end(),
            Err(_) if self.connections.is_closed() => {}
            Err(_) => self.outage.begin(),
        }
        Ok((acquired?, ConnectionCount::new(&self.in_use)))
    }

    fn is_in_use(&self) -> bool {
        self.in_use.load(Ordering::Relaxed) >= self.connections.options().get_max_connections()
    }

    pub(super) fn connections(&self) -> &AnyPool {
        &self.connections
    }
}

/// Whether the last attempt to get a connection failed.
#[derive(Debug, Default)]
struct Outage {
    is_on: AtomicBool,
    /// The time of the next attempt.
    next_try: Mutex<Option<Instant>>,
}

impl Outage {
    fn begin(&self) {
        *self.next_try.lock() = Some(Instant::now() + RETRY_DELAY);
        self.is_on.store(true, Ordering::Release);
    }

    fn end(&self) {
        if self.is_on.load(Ordering::Acquire) {
            self.is_on.store(false, Ordering::Release);
        }
    }

    /// True if the caller may try. Then others may not while it does.
    fn may_try(&self, attempt: Duration) -> bool {
        if !self.is_on.load(Ordering::Acquire) {
            return true;
        }
        let mut next_try = self.next_try.lock();
        let now = Instant::now();
        if next_try.is_some_and(|at| now < at) {
            return false;
        }
        *next_try = Some(now + attempt + RETRY_DELAY);
        true
    }
}

fn postgres(pool: AnyPoolOptions, role: PoolRole, limits: TimeLimits) -> AnyPoolOptions {
    pool.after_connect(move |connection, _| {
        Box::pin(async move {
            let settings = session_settings(role, limits);
            sqlx::raw_sql(AssertSqlSafe(settings))
                .execute(connection)
                .await?;
            Ok(())
        })
    })
    .before_acquire(move |connection, meta| {
        Box::pin(async move {
            if meta.idle_for > PING_AFTER_IDLE {
                let ping = timeout(limits.connect / 2, connection.ping());
                ping.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
            }
            Ok(true)
        })
    })
}

fn sqlite(pool: AnyPoolOptions, role: PoolRole, limits: TimeLimits) -> AnyPoolOptions {
    pool.idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(AssertSqlSafe(pragmas(role, limits)))
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
}

/// How long a migration waits for a lock, and a server for the migrations of another one.
const MIGRATION_LOCK: Duration = Duration::from_mins(10);

/// The settings of a PostgreSQL session of a pool.
///
/// A cached plan that was made while a table was small may scan the whole table later, so statements are planned each
/// time. Point reads are an exception: their plan is known in advance and uses an index.
fn session_settings(role: PoolRole, limits: TimeLimits) -> String {
    let planner = match role {
        // A migration may rewrite a large table: zero is no limit.
        PoolRole::Migrate => return limit_settings(MIGRATION_LOCK, Duration::ZERO, limits),
        PoolRole::Read | PoolRole::Write => "SET plan_cache_mode = force_custom_plan",
        // Leaves only index scans to choose from. JIT compilation would cost more than the statement, because the
        // disabled plan nodes inflate the estimated cost.
        PoolRole::Point => {
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
             SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_sort = off; SET jit = off"
        }
    };
    let statement = match role {
        PoolRole::Point => limits.point_read,
        _ => limits.statement,
    };
    let limits = limit_settings(limits.lock, statement, limits);
    format!("{planner}; {limits}")
}

/// The settings of the PostgreSQL session that receives notifications.
pub(super) fn listen_settings(limits: TimeLimits) -> String {
    limit_settings(limits.lock, limits.statement, limits)
}

/// The limits of a PostgreSQL session. They end the transactions of a vanished server, and bound the time that others wait
/// for their locks.
fn limit_settings(lock: Duration, statement: Duration, limits: TimeLimits) -> String {
    format!(
        "SET lock_timeout = {}; SET statement_timeout = {}; \
         SET idle_in_transaction_session_timeout = {}; {KEEPALIVE}",
        lock.as_millis(),
        statement.as_millis(),
        limits.idle_in_transaction.as_millis(),
    )
}

/// The pragmas of an SQLite connection. Readers have a small page cache, for the upper levels of the B-trees; the
/// operating system's cache, which they share, contains the rest. Writes are durable at every commit. Only another
/// process can hold the lock for which the busy timeout is.
fn pragmas(role: PoolRole, limits: TimeLimits) -> String {
    let purpose = match role {
        PoolRole::Write | PoolRole::Migrate => {
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536;"
        }
        PoolRole::Read | PoolRole::Point => {
            "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; \
             PRAGMA cache_size = -2048;"
        }
    };
    let busy = limits.busy.as_millis();
    format!("PRAGMA busy_timeout = {busy}; {purpose}")
}
