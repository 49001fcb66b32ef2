//! Connections and transactions.
//!
//! SQLite allows one writer at a time: one connection writes, and a pool of connections reads concurrently (WAL).
//! PostgreSQL has one pool for reads and writes, and another pool for the single-row reads of polls.
//!
//! Every statement and every wait has a limit ([`TimeLimits`]). A connection that failed, or had no answer in time, is
//! closed; the next transaction gets another.

mod connection;
mod later;
mod log_copy;
mod pool;
mod statistics;
mod tx;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use sqlx::{AssertSqlSafe, any::AnyConnectOptions};
use tidegate_core::{reporting_clock::ReportingClock, time::Timestamp};
use tidegate_engine::{ports::StoreError, task_span};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::Instrument as _;

use self::{
    pool::{Pool, PoolRole},
    tx::{Committed, TxKind},
};
use crate::{
    database_health::ListenHealth,
    dialect::Dialect,
    error::{DatabaseFailure, failed},
    migrations,
    time_limits::TimeLimits,
};

pub(crate) use connection::BoundedConnection;
pub(crate) use tx::Tx;

/// The limit of a statement of SQLite, which has none of its own.
const SQLITE_STATEMENT: Duration = Duration::from_mins(2);
/// Delay between two attempts to write after a failed write.
const PROBE_PERIOD: Duration = Duration::from_secs(1);
/// Maximum time to close the connections of the store.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// How long a transaction waits for a locked row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockWait {
    /// [`TimeLimits::lock`].
    Normal,
    /// A fraction of a second: others wait for the end of this transaction.
    Short,
}

/// A database with all migrations applied.
#[derive(Clone)]
pub(crate) struct Database {
    dialect: Dialect,
    server_name: Arc<str>,
    url: String,
    limits: TimeLimits,
    readers: Pool,
    writers: Pool,
    point_readers: Pool,
    committed: Committed,
    listen_health: Arc<ListenHealth>,
    /// The reporting clock as this server last read it. Transactions convert deadlines by it.
    known_clock: Arc<Mutex<ReportingClock>>,
}

impl Database {
    pub(crate) async fn open(
        url: &str,
        server_name: String,
        connections: u32,
        limits: TimeLimits,
    ) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let dialect = Dialect::from_url(url)?;
        let url = match dialect {
            Dialect::Sqlite if !url.contains("mode=") => {
                let mark = if url.contains('?') { '&' } else { '?' };
                format!("{url}{mark}mode=rwc")
            }
            _ => url.to_owned(),
        };
        let options: AnyConnectOptions = url.parse().map_err(failed("parse the database URL"))?;
        let (shared_connections, point_connections) = match dialect {
            Dialect::Sqlite => (connections, 0),
            Dialect::Postgres => (connections.div_ceil(2), (connections / 2).max(1)),
        };
        let open = async |connections, role| {
            Pool::open(dialect, &options, connections, role, limits).await
        };
        let migrating = open(1, PoolRole::Migrate).await?;
        migrations::run(dialect, migrating.connections()).await?;
        migrating.close().await;
        let writers = open(shared_connections, PoolRole::Write).await?;
        let (readers, point_readers) = match dialect {
            Dialect::Sqlite => {
                let readers = open(shared_connections, PoolRole::Read).await?;
                (readers.clone(), readers)
            }
            Dialect::Postgres => (
                writers.clone(),
                open(point_connections, PoolRole::Point).await?,
            ),
        };
        Ok(Self {
            dialect,
            server_name: server_name.into(),
            url,
            limits,
            readers,
            writers,
            point_readers,
            committed: Committed::default(),
            listen_health: Arc::default(),
            known_clock: Arc::default(),
        })
    }

    /// Starts the tasks of the database, which end when the set is dropped.
    pub(crate) fn start_tasks(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        match self.dialect {
            Dialect::Sqlite => tasks.spawn(log_copy::copy_log(self.clone())),
            Dialect::Postgres => tasks.spawn(statistics::keep_statistics(self.clone())),
        };
        tasks
    }

    /// For one frequent statement that reads few rows by index. PostgreSQL plans it once for each connection:
    /// planning it takes ten times as long as running it.
    pub(crate) async fn point_read(&self) -> Result<Tx, StoreError> {
        let limit = self.limits.point_read;
        self.tx(&self.point_readers, TxKind::Single, limit).await
    }

    /// For one reading statement, without the round trips of a transaction.
    pub(crate) async fn read_single(&self) -> Result<Tx, StoreError> {
        let limit = self.limits.statement;
        self.tx(&self.readers, TxKind::Single, limit).await
    }

    /// For several reading statements that must see the same snapshot.
    pub(crate) async fn read(&self) -> Result<Tx, StoreError> {
        let begin = match self.dialect {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => pool::BEGIN_READ,
        };
        self.begin_read(begin).await
    }

    /// Like [`Self::read`], for statements that all find rows by their keys.
    pub(crate) async fn read_by_key(&self) -> Result<Tx, StoreError> {
        let begin = match self.dialect {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => pool::begin_read_by_key(),
        };
        self.begin_read(begin).await
    }

    /// For changes. On SQLite, no other writer runs until it ends. On PostgreSQL, a row must be locked before it is
    /// compared and set, see [`Dialect::for_update`].
    pub(crate) async fn write(&self) -> Result<Tx, StoreError> {
        let begin = match self.dialect {
            Dialect::Sqlite => pool::BEGIN_WRITE,
            Dialect::Postgres => "BEGIN",
        };
        self.begin_write(begin, self.limits.statement).await
    }

    /// For changes that a crash of the machine, or of PostgreSQL, may lose: its commit does not wait for the disk. What is
    /// committed later is not durable before it.
    pub(crate) async fn write_unsynced(&self) -> Result<Tx, StoreError> {
        let begin = match self.dialect {
            Dialect::Sqlite => pool::BEGIN_WRITE_UNSYNCED,
            Dialect::Postgres => "BEGIN; SET LOCAL synchronous_commit = off",
        };
        self.begin_write(begin, self.limits.statement).await
    }

    /// For the lease of a campaign. The only server of SQLite crashes with its machine, and then holds no lease. PostgreSQL
    /// may crash alone, and must not give a lease that it lost to another server.
    pub(crate) async fn write_lease(&self) -> Result<Tx, StoreError> {
        match self.dialect {
            Dialect::Sqlite => self.write_unsynced().await,
            Dialect::Postgres => self.write_by_key(LockWait::Normal).await,
        }
    }

    /// For the waiting reports or registrations of devices, and for ticks, which are not worth waiting for as long. All
    /// its statements find rows by their keys.
    pub(crate) async fn write_by_key(&self, lock_wait: LockWait) -> Result<Tx, StoreError> {
        let begin = match self.dialect {
            Dialect::Sqlite => pool::BEGIN_WRITE,
            Dialect::Postgres => pool::begin_write_by_key(lock_wait),
        };
        let tx = self.begin_write(begin, self.limits.batch_statement);
        Ok(tx.await?.with_kept_plans())
    }

    async fn begin_read(&self, begin: &'static str) -> Result<Tx, StoreError> {
        let limit = self.limits.statement;
        let mut tx = self.tx(&self.readers, TxKind::Read, limit).await?;
        tx.begin(begin, self.begin_limit()).await?;
        Ok(tx)
    }

    async fn begin_write(&self, begin: &'static str, limit: Duration) -> Result<Tx, StoreError> {
        self.start_probing();
        let kind = TxKind::Write(self.committed.clone());
        let mut tx = self.tx(&self.writers, kind, limit).await?;
        tx.begin(begin, self.begin_limit()).await?;
        Ok(tx)
    }

    async fn tx(&self, pool: &Pool, kind: TxKind, limit: Duration) -> Result<Tx, StoreError> {
        let acquired = match pool.acquire().await {
            Ok(acquired) => acquired,
            Err(error) => {
                if let TxKind::Write(told) = &kind {
                    told.health
                        .failed(DatabaseFailure::of(&error), &error.to_string());
                }
                return Err(failed("get a connection")(error));
            }
        };
        let limit = match self.dialect {
            Dialect::Sqlite => SQLITE_STATEMENT,
            Dialect::Postgres => limit + self.limits.network,
        };
        let connection = BoundedConnection::new(acquired, limit);
        let server_name = Arc::clone(&self.server_name);
        let stopped_ms = self.known_clock().stopped_ms;
        Ok(Tx::new(
            connection,
            kind,
            self.dialect,
            server_name,
            stopped_ms,
        ))
    }

    /// The first statement on a connection that may have died while it was idle. SQLite waits for its lock.
    fn begin_limit(&self) -> Duration {
        match self.dialect {
            Dialect::Sqlite => SQLITE_STATEMENT,
            Dialect::Postgres => self.limits.connect,
        }
    }

    /// PostgreSQL's time. SQLite has none but the server's.
    pub(crate) async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(None);
        }
        let mut tx = self.read_single().await?;
        let now = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
        let now = sqlx::query_scalar(now).fetch_one(tx.conn()).await;
        Ok(Some(Timestamp(now.map_err(failed("read the time"))?)))
    }

    /// Why writes fail. While they do, a task tries to write, so that this ends without a request that writes.
    pub(crate) fn unhealthy_reason(&self) -> Option<String> {
        let reason = self.committed.health.unhealthy_reason()?;
        self.start_probing();
        Some(reason)
    }

    fn start_probing(&self) {
        if self.committed.health.start_probing() {
            let database = self.clone();
            tokio::spawn(async move { database.probe_writes().await });
        }
    }

    /// True if no connection could be had just now.
    pub(crate) fn is_unreachable(&self) -> bool {
        let pools = [&self.writers, &self.readers, &self.point_readers];
        pools.into_iter().any(Pool::is_unreachable)
    }

    async fn probe_writes(&self) {
        while self.committed.health.unhealthy_reason().is_some() && !self.is_closed() {
            // A failure is the reason that is reported.
            let probe = self.probe_write().instrument(task_span("write probe"));
            let _ = probe.await;
            sleep(PROBE_PERIOD).await;
        }
        self.committed.health.stop_probing();
    }

    async fn probe_write(&self) -> Result<(), StoreError> {
        let Some(bytes) = self.committed.health.required_space() else {
            return self.probe_small_write().await;
        };
        let probed = match self.dialect {
            Dialect::Sqlite => self.probe_free_space_of_sqlite(bytes).await,
            Dialect::Postgres => self.probe_free_space_of_postgres(bytes).await,
        };
        // Any other failure, such as a missing permission, says nothing about space.
        if matches!(probed, Ok(()) | Err(StoreError::Internal { .. })) {
            self.committed.health.found_space();
        }
        probed
    }

    /// Writes something that changes nothing.
    async fn probe_small_write(&self) -> Result<(), StoreError> {
        self.run_probe(match self.dialect {
            // It rewrites the first page.
            Dialect::Sqlite => "PRAGMA user_version = 0".to_owned(),
            // A transaction with an id writes a commit record. The division fails on a database that is read-only.
            Dialect::Postgres => {
                "SELECT txid_current(), 1 / CASE current_setting('transaction_read_only') WHEN 'off' THEN 1 ELSE 0 END"
                    .to_owned()
            }
        })
        .await
    }

    /// Only a commit takes the space of the disk, so the table exists for a moment.
    async fn probe_free_space_of_sqlite(&self, bytes: u64) -> Result<(), StoreError> {
        const DROP: &str = "DROP TABLE IF EXISTS free_space_probe";
        let fill =
            format!("{DROP}; CREATE TABLE free_space_probe AS SELECT zeroblob({bytes}) AS filler");
        self.run_probe(fill).await?;
        self.run_probe(DROP.to_owned()).await
    }

    /// A temporary table takes the space at once, and is not written to the log of changes.
    async fn probe_free_space_of_postgres(&self, bytes: u64) -> Result<(), StoreError> {
        const ROW_BYTES: u64 = 1000;
        let rows = bytes / ROW_BYTES;
        let fill = format!(
            "SET LOCAL temp_tablespaces = ''; CREATE TEMPORARY TABLE free_space_probe ON COMMIT DROP AS \
             SELECT repeat('x', {ROW_BYTES}) AS filler FROM generate_series(1, {rows})"
        );
        self.run_probe(fill).await
    }

    async fn run_probe(&self, statements: String) -> Result<(), StoreError> {
        const PROBE: &str = "try to write";
        let mut tx = self.write_by_key(LockWait::Normal).await?;
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(tx.conn())
            .await
            .map_err(failed(PROBE))?;
        tx.commit().await
    }

    pub(crate) fn limits(&self) -> &TimeLimits {
        &self.limits
    }

    /// The settings of the session that receives notifications.
    pub(crate) fn listen_settings(&self) -> String {
        pool::listen_settings(self.limits)
    }

    pub(crate) fn listen_health(&self) -> &ListenHealth {
        &self.listen_health
    }

    pub(crate) fn known_clock(&self) -> ReportingClock {
        *self.known_clock.lock()
    }

    pub(crate) fn set_known_clock(&self, clock: ReportingClock) {
        *self.known_clock.lock() = clock;
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    #[cfg(test)]
    fn fail_writes(&self) {
        self.committed
            .health
            .failed(DatabaseFailure::NoSpace, "full");
    }

    #[cfg(test)]
    pub(crate) fn writers(&self) -> &sqlx::AnyPool {
        self.writers.connections()
    }

    pub(crate) fn server_name(&self) -> Arc<str> {
        Arc::clone(&self.server_name)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn is_closed(&self) -> bool {
        self.writers.is_closed()
    }

    /// Waits for running transactions, but not for a database that does not answer.
    pub(crate) async fn close(&self) {
        let closing = async {
            self.point_readers.close().await;
            self.readers.close().await;
            self.writers.close().await;
        };
        if timeout(CLOSE_LIMIT, closing).await.is_err() {
            tracing::warn!(timeout = ?CLOSE_LIMIT, "database connections not closed in time");
        }
    }
}
