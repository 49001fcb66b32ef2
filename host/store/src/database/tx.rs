use std::{borrow::Cow, sync::Arc, time::Duration};

use sqlx::AssertSqlSafe;
use tidegate_engine::ports::StoreError;
use tokio::sync::Notify;

use super::{
    connection::BoundedConnection,
    later::{SqlValue, bind},
    statistics::TableGrowth,
};
use crate::{database_health::WriteHealth, dialect::Dialect, error::failed};

/// A transaction, or a connection for one reading statement. Dropping it before the commit rolls it back.
pub(crate) struct Tx {
    /// `None` once it is released.
    connection: Option<BoundedConnection>,
    kind: TxKind,
    dialect: Dialect,
    server_name: Arc<str>,
    stopped_ms: i64,
    /// Whether it keeps its plans from its beginning to its end.
    keeps_plans: bool,
    /// The rows that it has added to tables that may grow fast.
    new_rows: Vec<(&'static str, usize)>,
}

pub(super) enum TxKind {
    /// For one statement, which is its own transaction.
    Single,
    /// An open transaction that reads.
    Read,
    /// An open transaction that writes, and who is told that it was committed.
    Write(Committed),
    /// A transaction that was committed.
    Ended,
}

/// Who is told of commits.
#[derive(Clone, Default)]
pub(super) struct Committed {
    pub(super) health: Arc<WriteHealth>,
    /// There is something new in the log.
    pub(super) written: Arc<Notify>,
    pub(super) growth: Arc<TableGrowth>,
}

impl Tx {
    pub(super) fn new(
        connection: BoundedConnection,
        kind: TxKind,
        dialect: Dialect,
        server_name: Arc<str>,
        stopped_ms: i64,
    ) -> Self {
        Self {
            connection: Some(connection),
            kind,
            dialect,
            server_name,
            stopped_ms,
            keeps_plans: false,
            new_rows: Vec::new(),
        }
    }

    /// Marks a transaction whose plans are kept since it began.
    pub(super) fn with_kept_plans(mut self) -> Self {
        self.keeps_plans = true;
        self
    }

    /// Begins the transaction. If the caller is cancelled meanwhile, the drop rolls it back.
    pub(super) async fn begin(
        &mut self,
        statement: &'static str,
        limit: Duration,
    ) -> Result<(), StoreError> {
        let begun = self.conn().control(statement, limit).await;
        begun.map_err(failed("begin a transaction"))
    }

    /// The connection, as an executor.
    pub(crate) fn conn(&mut self) -> &mut BoundedConnection {
        self.connection
            .as_mut()
            .expect("it is released when the transaction is dropped")
    }

    /// Executes a statement whose result is not read. On SQLite it waits for others, and they are sent as one before the next
    /// statement or the commit; an error has the name of that one.
    pub(crate) async fn execute_later<const N: usize>(
        &mut self,
        purpose: &'static str,
        statement: impl Into<Cow<'static, str>>,
        values: [SqlValue; N],
    ) -> Result<(), StoreError> {
        let statement = statement.into();
        if self.dialect == Dialect::Sqlite {
            self.conn().execute_later(&statement, values);
            return Ok(());
        }
        let statement = match statement {
            Cow::Borrowed(text) => sqlx::query(text),
            Cow::Owned(text) => sqlx::query(AssertSqlSafe(text)),
        };
        let executed = bind(statement, values).execute(self.conn()).await;
        executed.map(drop).map_err(failed(purpose))
    }

    /// Notes rows that were added to a table that may grow fast, for PostgreSQL's statistics.
    pub(crate) fn has_added(&mut self, table: &'static str, rows: usize) {
        if self.dialect == Dialect::Postgres {
            self.new_rows.push((table, rows));
        }
    }

    pub(crate) fn server_name(&self) -> &str {
        &self.server_name
    }

    /// How long the reporting clock has stood still, in milliseconds.
    pub(crate) fn stopped_ms(&self) -> i64 {
        self.stopped_ms
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Like [`Dialect::joined_key_in_json`]. A plan that is kept finds each row by the index without it, and with it compares
    /// every row of the array with every row of the table that is in the array.
    pub(crate) fn joined_key_in_json(&self, column: &str, json: &str) -> String {
        if self.keeps_plans {
            format!("{json} IS NOT NULL")
        } else {
            self.dialect.joined_key_in_json(column, json)
        }
    }

    /// Lets PostgreSQL keep the plans by which it checks foreign keys, instead of planning each check of each row anew,
    /// which takes four times as long as the check. They are point reads of unique indexes. Until
    /// [`Self::plan_every_statement`], or the end of the transaction.
    pub(crate) async fn keep_plans(&mut self) -> Result<(), StoreError> {
        self.set("SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off")
            .await
    }

    /// Ends [`Self::keep_plans`]. A transaction that goes by key keeps its plans.
    pub(crate) async fn plan_every_statement(&mut self) -> Result<(), StoreError> {
        self.set("SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = on")
            .await
    }

    async fn set(&mut self, settings: &'static str) -> Result<(), StoreError> {
        if self.dialect == Dialect::Sqlite || self.keeps_plans {
            return Ok(());
        }
        let connection = self.conn();
        let limit = connection.limit();
        let set = connection.control(settings, limit).await;
        set.map_err(failed("set how statements are planned"))
    }

    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        if matches!(self.kind, TxKind::Single) {
            return Ok(());
        }
        let connection = self.conn();
        let executed = connection.execute_rest().await;
        executed.map_err(failed("write changes"))?;
        let limit = connection.limit();
        let committed = connection.control("COMMIT", limit).await;
        committed.map_err(failed("commit"))?;
        if let TxKind::Write(told) = &self.kind {
            told.health.succeeded();
            told.written.notify_one();
            for (table, rows) in self.new_rows.drain(..) {
                told.growth.add(table, rows);
            }
        }
        self.kind = TxKind::Ended;
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if let TxKind::Write(told) = &self.kind
            && let Some((failure, reason)) = connection.failure()
        {
            told.health.failed(*failure, reason);
        }
        let is_in_transaction = matches!(self.kind, TxKind::Read | TxKind::Write(_));
        connection.release(is_in_transaction);
    }
}
