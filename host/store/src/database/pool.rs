use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, Connection as _,
    any::{AnyConnectOptions, AnyPoolOptions},
    pool::PoolConnection,
};
use tidegate_engine::ports::StoreError;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tracing::Instrument as _;

use super::LockWait;
use crate::{dialect::Dialect, error::failed, time_limits::TimeLimits};

/// A connection that was idle for longer is pinged before use.
const PING_AFTER_IDLE: Duration = Duration::from_secs(10);
/// How long a connection is used again without being returned to sqlx's pool, which pings it.
const CHECK_PERIOD: Duration = Duration::from_secs(10);
/// Delay between two attempts to reach a database that cannot be reached.
const RETRY_DELAY: Duration = Duration::from_millis(250);
/// Maximum time to return a connection to sqlx's pool, which pings it, or to close it.
pub(super) const CLEANUP_LIMIT: Duration = Duration::from_secs(5);
/// How long a failed attempt counts as an outage without another one.
const OUTAGE_MEMORY: Duration = Duration::from_secs(10);
/// PostgreSQL closes a connection whose server vanished after this many seconds without an answer.
const KEEPALIVE: &str = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; \
     SELECT set_config('tcp_user_timeout', '10000', false) WHERE version() LIKE '%linux%'";

/// A pool of connections with the same settings.
///
/// sqlx's pool opens, checks and closes them. It pings a connection whenever it is returned, which costs as much as a
/// statement, so usable connections are kept here for a while and used again.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    connections: AnyPool,
    /// One permit for each connection that may be in use.
    permits: Arc<Semaphore>,
    /// Usable connections that are not in use.
    ready: Arc<ReadyConnections>,
    outage: Arc<Outage>,
    limits: TimeLimits,
}

#[derive(Debug, Default)]
struct ReadyConnections(Mutex<Vec<CheckedConnection>>);

/// Without a runtime, which may have ended by now, a connection cannot be returned to sqlx's pool.
impl Drop for ReadyConnections {
    fn drop(&mut self) {
        for ready in self.0.get_mut().drain(..) {
            drop(ready.connection.detach());
        }
    }
}

/// A connection outside sqlx's pool.
#[derive(Debug)]
struct CheckedConnection {
    connection: PoolConnection<Any>,
    /// When sqlx's pool gave it out.
    checked_at: Instant,
}

impl CheckedConnection {
    fn must_be_checked(&self) -> bool {
        self.checked_at.elapsed() >= CHECK_PERIOD
    }
}

/// A connection in use, which the pool waits for until it is released, checked or closed.
#[derive(Debug)]
pub(super) struct AcquiredConnection {
    checked: CheckedConnection,
    pool: Pool,
    permit: OwnedSemaphorePermit,
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
        let connections = match (dialect, role) {
            (Dialect::Sqlite, PoolRole::Write | PoolRole::Migrate) => 1,
            _ => connections,
        };
        let pool = AnyPoolOptions::new()
            .acquire_timeout(limits.connect + limits.busy)
            .test_before_acquire(false)
            .max_connections(connections);
        let pool = match dialect {
            Dialect::Postgres => postgres(pool, role, limits),
            Dialect::Sqlite => sqlite(pool, role, limits),
        };
        let permits = Arc::new(Semaphore::new(connections as usize));
        let error = match pool.connect_with(options.clone()).await {
            Ok(connections) => {
                return Ok(Self {
                    connections,
                    permits,
                    ready: Arc::default(),
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
    pub(super) async fn acquire(&self) -> Result<AcquiredConnection, sqlx::Error> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        let permit = timeout(self.limits.connect + self.limits.busy, permit).await;
        let permit = permit.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
        let checked = match self.take_ready() {
            Some(ready) => ready,
            None => self.acquire_checked().await?,
        };
        Ok(AcquiredConnection {
            checked,
            pool: self.clone(),
            permit,
        })
    }

    /// A connection that was checked lately. sqlx's pool checks all others.
    fn take_ready(&self) -> Option<CheckedConnection> {
        let mut ready = self.ready.0.lock();
        let stale = ready.extract_if(.., |ready| ready.must_be_checked());
        self.check(stale);
        ready.pop()
    }

    /// Has sqlx's pool check connections, all at once, because all may be dead. One that does not answer in time is
    /// dropped. An acquirer waits for them no longer than for a new connection.
    fn check(&self, connections: impl Iterator<Item = CheckedConnection>) {
        let limit = self.limits.connect / 2;
        for mut checked in connections {
            let returned = checked.connection.return_to_pool();
            tokio::spawn(timeout(limit, returned).in_current_span());
        }
    }

    async fn acquire_checked(&self) -> Result<CheckedConnection, sqlx::Error> {
        if self.connections.num_idle() == 0 && !self.outage.may_try(self.limits.connect) {
            return Err(sqlx::Error::PoolTimedOut);
        }
        let acquiring = pin!(self.connections.acquire());
        let acquired = match timeout(self.limits.connect, acquiring).await {
            Ok(acquired) => acquired,
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        };
        match &acquired {
            Ok(_) => self.outage.end(),
            Err(_) if self.connections.is_closed() => {}
            Err(_) => self.outage.begin(),
        }
        Ok(CheckedConnection {
            connection: acquired?,
            checked_at: Instant::now(),
        })
    }

    /// True if the database could not be reached just now.
    pub(super) fn is_unreachable(&self) -> bool {
        self.outage.is_recent()
    }

    /// The connections, without those in use. Tests and migrations use them directly.
    pub(super) fn connections(&self) -> &AnyPool {
        self.ready.0.lock().clear();
        &self.connections
    }

    pub(super) fn is_closed(&self) -> bool {
        self.connections.is_closed()
    }

    /// Waits for the connections in use.
    pub(super) async fn close(&self) {
        let closing = self.connections.close();
        self.ready.0.lock().clear();
        closing.await;
    }

    #[cfg(test)]
    pub(super) fn num_idle(&self) -> usize {
        self.ready.0.lock().len() + self.connections.num_idle()
    }

    #[cfg(test)]
    pub(super) fn begin_outage(&self) {
        self.outage.begin();
    }

    /// Makes all ready connections as old as if they had been idle for [`CHECK_PERIOD`].
    #[cfg(test)]
    pub(super) fn age_ready(&self) {
        for ready in self.ready.0.lock().iter_mut() {
            ready.checked_at -= CHECK_PERIOD;
        }
    }
}

impl AcquiredConnection {
    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.checked.connection
    }

    /// Keeps the connection for its next use. It must be usable: no statement runs and no transaction is open.
    pub(super) fn release(self) {
        // The database answers: that a further connection could not be opened is no outage.
        self.pool.outage.end();
        if self.checked.must_be_checked() {
            self.check();
            return;
        }
        let mut ready = self.pool.ready.0.lock();
        // A pool that is being closed empties the list under the same lock; then sqlx closes the connection.
        if !self.pool.is_closed() {
            ready.push(self.checked);
        }
    }

    /// Has sqlx's pool check the connection and keep it.
    pub(super) fn check(mut self) {
        finish(self.permit, self.checked.connection.return_to_pool());
    }

    /// Closes the connection without a message to the database, which may not answer. What broke it may have broken the
    /// others, so they are checked before their next use.
    pub(super) fn close(self) {
        self.pool.check(self.pool.ready.0.lock().drain(..));
        let connection = self.checked.connection.detach();
        finish(self.permit, sqlx::Connection::close_hard(connection));
    }
}

/// Completes the return or the closing of a connection in a task of its own, within [`CLEANUP_LIMIT`]. Its permit is held
/// until then.
fn finish<T>(permit: OwnedSemaphorePermit, ending: impl Future<Output = T> + Send + 'static) {
    let ending = async move {
        let _ = timeout(CLEANUP_LIMIT, ending).await;
        drop(permit);
    };
    tokio::spawn(ending.in_current_span());
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

    /// True if the last attempt failed a short time ago. One that failed long ago shows only that none was made since.
    fn is_recent(&self) -> bool {
        let is_recent = |next_try: Instant| next_try.elapsed() < OUTAGE_MEMORY;
        self.is_on.load(Ordering::Acquire) && self.next_try.lock().is_some_and(is_recent)
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

/// Keeps plans, and leaves only scans of indexes to choose from. JIT compilation would cost more than the statement,
/// because the disabled plan nodes inflate the estimated cost.
const KEEP_INDEX_PLANS: [&str; 6] = [
    "plan_cache_mode = force_generic_plan",
    "enable_seqscan = off",
    "enable_hashjoin = off",
    "enable_mergejoin = off",
    "enable_sort = off",
    "jit = off",
];

/// Begins a transaction of SQLite that writes, and is durable when it is committed. Each says so, because the setting is
/// that of the connection.
pub(super) const BEGIN_WRITE: &str = "PRAGMA synchronous = FULL; BEGIN IMMEDIATE";

/// Begins a transaction of SQLite whose commit does not wait for the disk. The next durable one writes both.
pub(super) const BEGIN_WRITE_UNSYNCED: &str = "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE";

/// Begins a transaction of PostgreSQL that reads one snapshot.
pub(super) const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Begins a transaction of PostgreSQL that reads rows of one snapshot, found by their keys. Its plans are kept: planning a
/// statement takes several times as long as running it.
pub(super) fn begin_read_by_key() -> &'static str {
    static BEGIN: LazyLock<String> = LazyLock::new(|| with_kept_plans(BEGIN_READ));
    &BEGIN
}

/// Begins a transaction of PostgreSQL that writes rows found by their keys. Its plans are kept: a check of a foreign key is
/// a statement for each row, and planning it takes several times as long as running it.
pub(super) fn begin_write_by_key(lock_wait: LockWait) -> &'static str {
    static BEGIN: LazyLock<String> = LazyLock::new(|| with_kept_plans("BEGIN"));
    static BEGIN_SHORT: LazyLock<String> =
        LazyLock::new(|| format!("{}; SET LOCAL lock_timeout = '200ms'", *BEGIN));
    match lock_wait {
        LockWait::Normal => &BEGIN,
        LockWait::Short => &BEGIN_SHORT,
    }
}

fn with_kept_plans(begin: &str) -> String {
    let settings = KEEP_INDEX_PLANS.map(|setting| format!("; SET LOCAL {setting}"));
    format!("{begin}{}", settings.concat())
}

/// The settings of a PostgreSQL session of a pool.
///
/// A cached plan that was made while a table was small may scan the whole table later, so statements are planned each
/// time. Point reads are an exception: their plan is known in advance and uses an index.
fn session_settings(role: PoolRole, limits: TimeLimits) -> String {
    let planner = match role {
        // A migration may rewrite a large table: zero is no limit.
        PoolRole::Migrate => return limit_settings(MIGRATION_LOCK, Duration::ZERO, limits),
        PoolRole::Read | PoolRole::Write => "SET plan_cache_mode = force_custom_plan".to_owned(),
        PoolRole::Point => format!("SET {}", KEEP_INDEX_PLANS.join("; SET ")),
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
/// operating system's cache, which they share, contains the rest. Only another
/// process can hold the lock for which the busy timeout is. The log is copied into the database by a task (`log_copy`), and
/// by the writer itself only if that task does not.
fn pragmas(role: PoolRole, limits: TimeLimits) -> String {
    let purpose = match role {
        PoolRole::Write | PoolRole::Migrate => {
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 64000; \
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
