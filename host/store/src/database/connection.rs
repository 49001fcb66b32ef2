use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Poll, ready},
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Any, AnyConnection, Either, Execute, Executor, SqlStr,
    any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo},
    pool::PoolConnection,
};
use tokio::time::{sleep, timeout};
use tracing::Instrument as _;

use crate::error::DatabaseFailure;

/// Maximum time to roll back, to return a connection to its pool, or to close it.
const CLEANUP_LIMIT: Duration = Duration::from_secs(5);
const TAKEN: &str = "the connection is released once, at the end";

type Result<T> = std::result::Result<T, sqlx::Error>;

/// A connection of a pool whose statements have a time limit.
///
/// It knows whether it is broken: a statement failed because the database is unavailable, or had no answer in time. Then
/// its state is unknown, and it must be closed, not pooled. SQLite, for example, rolls a transaction back by itself
/// when the disk is full.
#[derive(Debug)]
pub(crate) struct BoundedConnection {
    /// `None` once it is released.
    connection: Option<PoolConnection<Any>>,
    _in_use: ConnectionCount,
    limit: Duration,
    state: ConnectionState,
}

#[derive(Debug, Default)]
struct ConnectionState {
    /// The first failure after which the connection must be closed.
    failure: Option<(DatabaseFailure, String)>,
}

/// Counts a connection as used by a transaction, until it is back in its pool or closed.
#[derive(Debug)]
pub(super) struct ConnectionCount(Arc<AtomicU32>);

impl ConnectionCount {
    pub(super) fn new(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl BoundedConnection {
    pub(super) fn new(
        connection: PoolConnection<Any>,
        in_use: ConnectionCount,
        limit: Duration,
    ) -> Self {
        Self {
            connection: Some(connection),
            _in_use: in_use,
            limit,
            state: ConnectionState::default(),
        }
    }

    /// Executes a statement of transaction control. Its failure breaks the connection, whatever the reason.
    pub(super) async fn control(&mut self, statement: &'static str, limit: Duration) -> Result<()> {
        let (connection, state) = self.parts();
        let executed = state.run(limit, connection.execute(sqlx::raw_sql(statement)));
        let executed = executed.await;
        if let Err(error) = &executed {
            state.fail(error);
        }
        executed.map(drop)
    }

    /// The limit of one statement.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// The failure that broke the connection.
    pub(super) fn failure(&self) -> Option<&(DatabaseFailure, String)> {
        self.state.failure.as_ref()
    }

    /// Returns the connection to its pool, after a rollback if a transaction is open; closes it if it is broken. In a
    /// task of its own, because it is dropped in any place.
    pub(super) fn release(mut self, is_in_transaction: bool) {
        let releasing = async move {
            if is_in_transaction && self.failure().is_none() {
                // A failure is logged by what failed before.
                let _ = self.control("ROLLBACK", CLEANUP_LIMIT).await;
            }
            let Some(mut connection) = self.connection.take() else {
                return;
            };
            if self.failure().is_none() {
                // The pool pings the connection first. If that takes too long, the connection is dropped.
                let _ = timeout(CLEANUP_LIMIT, connection.return_to_pool()).await;
            } else {
                let connection = sqlx::Connection::close_hard(connection.detach());
                let _ = timeout(CLEANUP_LIMIT, connection).await;
            }
        };
        tokio::spawn(releasing.in_current_span());
    }

    fn parts(&mut self) -> (&mut AnyConnection, &mut ConnectionState) {
        (self.connection.as_mut().expect(TAKEN), &mut self.state)
    }
}

impl ConnectionState {
    async fn run<T>(
        &mut self,
        limit: Duration,
        running: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let result = timeout(limit, running)
            .await
            .unwrap_or_else(|_| Err(timed_out(limit)));
        self.finish(result)
    }

    fn finish<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && DatabaseFailure::of(error).breaks_connection()
        {
            self.fail(error);
        }
        result
    }

    fn fail(&mut self, error: &sqlx::Error) {
        if self.failure.is_none() {
            self.failure = Some((
                DatabaseFailure::of(error),
                tidegate_engine::chain(error).to_string(),
            ));
        }
    }
}

/// The error of an operation that exceeded its limit.
fn timed_out(limit: Duration) -> sqlx::Error {
    let message = format!("no answer within {} s", limit.as_secs_f32());
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, message))
}

impl<'c> Executor<'c> for &'c mut BoundedConnection {
    type Database = Any;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<AnyQueryResult>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let limit = self.limit;
        let (connection, state) = self.parts();
        state.run(limit, connection.execute(query)).boxed()
    }

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let limit = self.limit;
        let (connection, state) = self.parts();
        let mut items = connection.fetch_many(query);
        // One timer for all rows: a timer for each row would cost more than the row.
        let mut end = Box::pin(sleep(limit));
        let mut has_ended = false;
        stream::poll_fn(move |context| {
            if has_ended {
                return Poll::Ready(None);
            }
            let item = match items.poll_next_unpin(context) {
                Poll::Pending => {
                    ready!(
                        end.as_mut()
                            .poll(context)
                            .map(|()| Some(Err(timed_out(limit))))
                    )
                }
                Poll::Ready(item) => item,
            };
            has_ended = !matches!(item, Some(Ok(_)));
            Poll::Ready(item.map(|item| state.finish(item)))
        })
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let limit = self.limit;
        let (connection, state) = self.parts();
        state.run(limit, connection.fetch_optional(query)).boxed()
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<AnyRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let limit = self.limit;
        let (connection, state) = self.parts();
        state.run(limit, connection.fetch_all(query)).boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement>>
    where
        'c: 'e,
    {
        let limit = self.limit;
        let (connection, state) = self.parts();
        state
            .run(limit, connection.prepare_with(sql, parameters))
            .boxed()
    }
}
