use std::{
    future::Future,
    task::{Poll, ready},
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _, TryFutureExt as _,
    future::BoxFuture,
    stream::{self, BoxStream, Stream},
};
use sqlx::{
    Any, AnyConnection, Either, Execute, Executor, SqlStr,
    any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo},
};
use tokio::time::{sleep, timeout};
use tracing::Instrument as _;

use super::{
    later::{LaterStatements, SqlValue},
    pool::{AcquiredConnection, CLEANUP_LIMIT},
};
use crate::error::DatabaseFailure;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// A connection of a pool whose statements have a time limit.
///
/// It knows whether it is broken: a statement failed because the database is unavailable, or had no answer in time. Then
/// its state is unknown, and it must be closed, not pooled. SQLite, for example, rolls a transaction back by itself
/// when the disk is full.
#[derive(Debug)]
pub(crate) struct BoundedConnection {
    acquired: AcquiredConnection,
    limit: Duration,
    state: ConnectionState,
    later: LaterStatements,
}

#[derive(Debug, Default)]
struct ConnectionState {
    /// The first failure after which the connection must be closed.
    failure: Option<(DatabaseFailure, String)>,
    /// Whether a statement runs. It still does after its caller was cancelled.
    is_running: bool,
}

impl BoundedConnection {
    pub(super) fn new(acquired: AcquiredConnection, limit: Duration) -> Self {
        Self {
            acquired,
            limit,
            state: ConnectionState::default(),
            later: LaterStatements::default(),
        }
    }

    /// Has SQLite execute a statement before the next one, which fails if this one does.
    pub(super) fn execute_later(
        &mut self,
        statement: &str,
        values: impl IntoIterator<Item = SqlValue>,
    ) {
        self.later.add(statement, values);
    }

    /// Executes the statements that wait for the next one.
    pub(super) async fn execute_rest(&mut self) -> Result<()> {
        let Some(rest) = self.later.take() else {
            return Ok(());
        };
        let limit = self.limit;
        let (connection, state) = self.parts();
        let executed = state.run(limit, connection.execute(rest)).await;
        executed.map(drop)
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

    /// Returns the connection to its pool, after a rollback if a transaction is open; closes it if it is broken. What
    /// takes time is done in a task of its own, because it is dropped in any place.
    pub(super) fn release(mut self, is_in_transaction: bool) {
        if self.failure().is_some() {
            self.acquired.close();
        } else if is_in_transaction {
            let releasing = async move {
                // A failure is logged by what failed before.
                let _ = self.control("ROLLBACK", CLEANUP_LIMIT).await;
                self.release(false);
            };
            tokio::spawn(releasing.in_current_span());
        } else if self.state.is_running {
            self.acquired.check();
        } else {
            self.acquired.release();
        }
    }

    /// The rows of a query, and the results of its statements.
    fn rows_of<'e, 'q: 'e, E>(
        &'e mut self,
        query: E,
    ) -> impl Stream<Item = Result<Either<AnyQueryResult, AnyRow>>> + Send + 'e
    where
        E: 'q + Execute<'q, Any>,
    {
        let limit = self.limit;
        let (connection, state) = self.parts();
        state.is_running = true;
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
            state.is_running = !has_ended;
            Poll::Ready(item.map(|item| state.check(item)))
        })
    }

    /// What executes the next statement, once those that wait for it are executed.
    async fn ready(&mut self) -> Result<(&mut AnyConnection, &mut ConnectionState, Duration)> {
        self.execute_rest().await?;
        let limit = self.limit;
        let (connection, state) = self.parts();
        Ok((connection, state, limit))
    }

    fn parts(&mut self) -> (&mut AnyConnection, &mut ConnectionState) {
        (self.acquired.connection(), &mut self.state)
    }
}

impl ConnectionState {
    async fn run<T>(
        &mut self,
        limit: Duration,
        running: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.is_running = true;
        let result = timeout(limit, running)
            .await
            .unwrap_or_else(|_| Err(timed_out(limit)));
        self.is_running = false;
        self.check(result)
    }

    fn check<T>(&mut self, result: Result<T>) -> Result<T> {
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
        async move {
            let (connection, state, limit) = self.ready().await?;
            state.run(limit, connection.execute(query)).await
        }
        .boxed()
    }

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        async move {
            self.execute_rest().await?;
            Ok(self.rows_of(query))
        }
        .try_flatten_stream()
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        async move {
            let (connection, state, limit) = self.ready().await?;
            state.run(limit, connection.fetch_optional(query)).await
        }
        .boxed()
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<AnyRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        async move {
            let (connection, state, limit) = self.ready().await?;
            state.run(limit, connection.fetch_all(query)).await
        }
        .boxed()
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
