//! Connections and transactions.
//!
//! SQLite allows one writer at a time: one connection writes, and a pool of connections reads concurrently (WAL).
//! PostgreSQL has one pool for reads and writes, and another pool for the single-row reads of polls.

use std::{sync::Arc, time::Duration};

use sqlx::{
    Any, AnyConnection, AnyPool, Connection, Transaction,
    any::{AnyConnectOptions, AnyPoolOptions},
    pool::PoolConnection,
};
use tidegate_engine::ports::StoreError;

use crate::{
    dialect::Dialect,
    error::{failed, internal},
    migrations,
};

/// The maximum wait for a free connection, and for SQLite's lock.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection that was idle for longer is pinged before use.
const PING_AFTER_IDLE: Duration = Duration::from_secs(30);
const BEGIN: &str = "begin a transaction";

/// A database with all migrations applied.
#[derive(Clone)]
pub(crate) struct Database {
    dialect: Dialect,
    server_name: Arc<str>,
    url: String,
    readers: AnyPool,
    writers: AnyPool,
    point_readers: AnyPool,
}

/// A transaction. Dropping it before the commit rolls it back.
pub(crate) struct Tx {
    inner: Inner,
    dialect: Dialect,
    server_name: Arc<str>,
}

enum Inner {
    Transaction(Transaction<'static, Any>),
    /// For one statement, which is its own transaction.
    Single(PoolConnection<Any>),
}

impl Database {
    pub(crate) async fn open(
        url: &str,
        server_name: String,
        connections: u32,
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
        let writers = pool(dialect, &options, shared_connections, PoolRole::Write).await?;
        migrations::run(dialect, &writers).await?;
        let (readers, point_readers) = match dialect {
            Dialect::Sqlite => {
                let readers = pool(dialect, &options, shared_connections, PoolRole::Read).await?;
                (readers.clone(), readers)
            }
            Dialect::Postgres => {
                let point_readers =
                    pool(dialect, &options, point_connections, PoolRole::Point).await?;
                (writers.clone(), point_readers)
            }
        };
        Ok(Self {
            dialect,
            server_name: server_name.into(),
            url,
            readers,
            writers,
            point_readers,
        })
    }

    /// For one frequent statement that reads few rows by index. PostgreSQL plans it once for each connection:
    /// planning it takes ten times as long as running it.
    pub(crate) async fn point_read(&self) -> Result<Tx, StoreError> {
        let connection = self
            .point_readers
            .acquire()
            .await
            .map_err(failed("get a connection"))?;
        Ok(self.tx(Inner::Single(connection)))
    }

    /// For one reading statement, without the round trips of a transaction.
    pub(crate) async fn read_single(&self) -> Result<Tx, StoreError> {
        let connection = self
            .readers
            .acquire()
            .await
            .map_err(failed("get a connection"))?;
        Ok(self.tx(Inner::Single(connection)))
    }

    /// For several reading statements that must see the same snapshot.
    pub(crate) async fn read(&self) -> Result<Tx, StoreError> {
        let begin = match self.dialect {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        let transaction = begin_detached(&self.readers, begin).await?;
        Ok(self.tx(Inner::Transaction(transaction)))
    }

    /// For changes. On SQLite, no other writer runs until it ends. On PostgreSQL, a row must be locked before it is
    /// compared and set, see [`Dialect::for_update`].
    pub(crate) async fn write(&self) -> Result<Tx, StoreError> {
        let begin = match self.dialect {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        };
        let transaction = begin_detached(&self.writers, begin).await?;
        Ok(self.tx(Inner::Transaction(transaction)))
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    #[cfg(test)]
    pub(crate) fn writers(&self) -> &AnyPool {
        &self.writers
    }

    pub(crate) fn server_name(&self) -> Arc<str> {
        Arc::clone(&self.server_name)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn close(&self) {
        self.point_readers.close().await;
        self.readers.close().await;
        self.writers.close().await;
    }

    fn tx(&self, inner: Inner) -> Tx {
        Tx {
            inner,
            dialect: self.dialect,
            server_name: Arc::clone(&self.server_name),
        }
    }
}

/// Begins the transaction in a separate task, which rolls it back if the caller was cancelled meanwhile. Otherwise
/// sqlx 0.9.0 returns the connection to the pool with the transaction still open (its issue 4393), and the next
/// caller runs inside it.
async fn begin_detached(
    pool: &AnyPool,
    statement: &'static str,
) -> Result<Transaction<'static, Any>, StoreError> {
    let pool = pool.clone();
    let begin_detached = tokio::spawn(async move { pool.begin_with(statement).await });
    match begin_detached.await {
        Ok(begin_detached) => begin_detached.map_err(failed(BEGIN)),
        Err(stopped) => Err(internal(BEGIN)(Box::new(stopped))),
    }
}

impl Tx {
    pub(crate) fn conn(&mut self) -> &mut AnyConnection {
        match &mut self.inner {
            Inner::Transaction(transaction) => transaction,
            Inner::Single(connection) => connection,
        }
    }

    /// The name of this server.
    pub(crate) fn server_name(&self) -> &str {
        &self.server_name
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self.inner {
            Inner::Transaction(transaction) => transaction.commit().await.map_err(failed("commit")),
            Inner::Single(_) => Ok(()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PoolRole {
    Read,
    Write,
    Point,
}

async fn pool(
    dialect: Dialect,
    options: &AnyConnectOptions,
    connections: u32,
    purpose: PoolRole,
) -> Result<AnyPool, StoreError> {
    let pool = AnyPoolOptions::new()
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false);
    let pool = match dialect {
        Dialect::Postgres => pool
            .max_connections(connections)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(planner_settings(purpose))
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > PING_AFTER_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            }),
        Dialect::Sqlite => pool
            .max_connections(if purpose == PoolRole::Write {
                1
            } else {
                connections
            })
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(pragmas(purpose)).execute(connection).await?;
                    Ok(())
                })
            }),
    };
    let error = match pool.connect_with(options.clone()).await {
        Ok(pool) => return Ok(pool),
        // A pool that timed out does not report why its attempts failed: connect once more for the error.
        Err(sqlx::Error::PoolTimedOut) => AnyConnection::connect_with(options).await.err(),
        Err(error) => Some(error),
    };
    let error = error.unwrap_or(sqlx::Error::PoolTimedOut);
    Err(failed("connect to the database")(error))
}

/// The planner settings of a PostgreSQL connection. A cached plan that was made while a table was small may scan the
/// whole table later, so statements are planned each time. Point reads are an exception: their plan is known in
/// advance and uses an index.
fn planner_settings(purpose: PoolRole) -> &'static str {
    match purpose {
        PoolRole::Read | PoolRole::Write => "SET plan_cache_mode = force_custom_plan",
        // Leaves only index scans to choose from. JIT compilation would cost more than the statement, because the
        // disabled plan nodes inflate the estimated cost.
        PoolRole::Point => {
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
             SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_sort = off; SET jit = off"
        }
    }
}

/// The pragmas of an SQLite connection. Readers have a small page cache, for the upper levels of the B-trees; the
/// operating system's cache, which they share, contains the rest. Writes are durable at every commit. The busy
/// timeout is [`ACQUIRE_TIMEOUT`]; only another process can hold the lock.
fn pragmas(purpose: PoolRole) -> &'static str {
    match purpose {
        PoolRole::Write => {
            "PRAGMA busy_timeout = 20000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536;"
        }
        PoolRole::Read | PoolRole::Point => {
            "PRAGMA busy_timeout = 20000; PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; \
             PRAGMA cache_size = -2048;"
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::time::Timestamp;
    use tidegate_engine::ports::Tenants as _;

    use super::*;
    use crate::testing::on_both;

    on_both! {
        async fn uncommitted_changes_are_rolled_back(store) {
            let insert = "INSERT INTO tenants (name, settings, settings_revision, created_at) \
                 VALUES ('GONE', '{}', 0, 0)";
            let mut tx = store.database.write().await?;
            sqlx::query(insert).execute(tx.conn()).await?;
            drop(tx);
            assert_eq!(store.tenant("GONE").await?, None);
            let mut tx = store.database.write().await?;
            sqlx::query(insert).execute(tx.conn()).await?;
            tx.commit().await?;
            assert!(store.tenant("GONE").await?.is_some());
        }

        async fn a_reader_sees_one_state_and_changes_nothing(store) {
            let count = "SELECT COUNT(*) AS total FROM tenants";
            let mut tx = store.database.read().await?;
            let before: i64 = sqlx::query_scalar(count).fetch_one(tx.conn()).await?;
            store.create_tenant("ACME", Timestamp(0)).await?;
            let after: i64 = sqlx::query_scalar(count).fetch_one(tx.conn()).await?;
            assert_eq!(before, after);
            let change = sqlx::query("UPDATE tenants SET created_at = 1").execute(tx.conn()).await;
            assert!(change.is_err());
        }

        async fn a_cancelled_begin_leaves_no_open_transaction(store) {
            for polls in 1..40 {
                let mut begin = Box::pin(store.database.read());
                for _ in 0..polls {
                    if futures::poll!(&mut begin).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                drop(begin);
                let name = format!("T{polls}");
                store.create_tenant(&name, Timestamp(0)).await?;
                assert!(store.tenant(&name).await?.is_some());
            }
        }

        async fn a_closed_store_is_unavailable(store) {
            store.close().await;
            assert!(matches!(store.tenants().await, Err(StoreError::Unavailable(_))));
            let registered = tidegate_engine::ports::Devices::register(&**store, store.ours, "a", Timestamp(0));
            assert!(matches!(registered.await, Err(StoreError::Unavailable(_))));
        }
    }

    #[tokio::test]
    async fn every_sqlite_connection_is_set_up() -> anyhow::Result<()> {
        let store = crate::testing::TestStore::on_sqlite().await?;
        let pragma = async |tx: &mut Tx, name: &'static str| -> anyhow::Result<String> {
            let sql =
                sqlx::AssertSqlSafe(format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"));
            Ok(sqlx::query_scalar(sql).fetch_one(tx.conn()).await?)
        };
        let mut tx = store.database.write().await?;
        assert_eq!(pragma(&mut tx, "journal_mode").await?, "wal");
        assert_eq!(pragma(&mut tx, "synchronous").await?, "2");
        assert_eq!(pragma(&mut tx, "foreign_keys").await?, "1");
        let mut tx = store.database.read_single().await?;
        assert_eq!(pragma(&mut tx, "query_only").await?, "1");
        Ok(())
    }
}
