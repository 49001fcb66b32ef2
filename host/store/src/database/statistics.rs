//! Has PostgreSQL count what is in tables that grow fast.
//!
//! A plan that is kept, such as that of a check of a foreign key, is made while a new table is almost empty. Then PostgreSQL
//! knows nothing about its columns, takes every index that begins with the tenant for as good as the one of the key, and may
//! keep a plan that reads all devices of the tenant to find one. `ANALYZE` tells it, and ends such plans; its own daemon
//! does so only once a minute.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use sqlx::AssertSqlSafe;
use tidegate_engine::{chain, ports::StoreError, task_span};
use tokio::sync::Notify;
use tracing::Instrument as _;

use super::Database;
use crate::error::failed;

/// The new rows after which a table is analyzed first; and then, whenever it has this many times as many.
const FIRST: usize = 256;
const FACTOR: usize = 4;

/// The rows that this server added to tables.
#[derive(Debug, Default)]
pub(super) struct TableGrowth {
    tables: Mutex<BTreeMap<&'static str, Growth>>,
    is_due: Notify,
}

#[derive(Debug)]
struct Growth {
    new_rows: usize,
    /// The new rows with which the table is due.
    due_at: usize,
}

impl Default for Growth {
    fn default() -> Self {
        Self {
            new_rows: 0,
            due_at: FIRST,
        }
    }
}

impl TableGrowth {
    pub(super) fn add(&self, table: &'static str, rows: usize) {
        let mut tables = self.tables.lock();
        let growth = tables.entry(table).or_default();
        growth.new_rows += rows;
        if growth.new_rows >= growth.due_at {
            self.is_due.notify_one();
        }
    }

    /// The tables that are due, with their new rows.
    fn take_due(&self) -> Vec<(&'static str, usize)> {
        let mut tables = self.tables.lock();
        let due = tables
            .iter_mut()
            .filter(|(_, growth)| growth.new_rows >= growth.due_at);
        due.map(|(table, growth)| {
            growth.due_at = growth.new_rows * FACTOR;
            (*table, growth.new_rows)
        })
        .collect()
    }
}

/// Analyzes tables that have grown, until the database is closed.
pub(super) async fn keep_statistics(database: Database) {
    while !database.is_closed() {
        database.committed.growth.is_due.notified().await;
        for (table, new_rows) in database.committed.growth.take_due() {
            let analyzed = database.analyze(table, new_rows);
            let analyzed = analyzed.instrument(task_span("statistics of a table"));
            if let Err(error) = analyzed.await
                && !database.is_closed()
            {
                tracing::warn!(
                    error = %chain(&error),
                    table,
                    "PostgreSQL could not count what is in a table; until it does so itself, its plans may be slow"
                );
            }
        }
    }
}

impl Database {
    /// Analyzes a table, unless PostgreSQL knows of more rows than those that are new.
    async fn analyze(&self, table: &'static str, new_rows: usize) -> Result<(), StoreError> {
        const ANALYZE: &str = "analyze a table";
        let mut tx = self.read_single().await?;
        let known = sqlx::query_scalar(
            "SELECT CAST(reltuples AS BIGINT) FROM pg_class WHERE oid = CAST($1 AS regclass)",
        );
        let known = known.bind(table).fetch_one(tx.conn()).await;
        let known: i64 = known.map_err(failed("read what is known of a table"))?;
        if usize::try_from(known).is_ok_and(|known| known >= new_rows) {
            return Ok(());
        }
        let analyze = format!("ANALYZE (SKIP_LOCKED) {table}");
        let analyzed = sqlx::raw_sql(AssertSqlSafe(analyze)).execute(tx.conn());
        analyzed.await.map(drop).map_err(failed(ANALYZE))
    }
}

#[cfg(test)]
mod tests {
    use futures::future::try_join_all;
    use tidegate_core::time::Timestamp;
    use tidegate_engine::ports::Devices as _;

    use super::*;
    use crate::testing::TestStore;

    #[test]
    fn a_table_is_due_each_time_it_has_grown_by_a_factor() {
        let growth = TableGrowth::default();
        growth.add("devices", FIRST - 1);
        assert_eq!(growth.take_due(), []);
        growth.add("updates", FIRST);
        growth.add("devices", 1);
        assert_eq!(growth.take_due(), [("devices", FIRST), ("updates", FIRST)]);
        growth.add("devices", (FACTOR - 1) * FIRST - 1);
        assert_eq!(growth.take_due(), []);
        growth.add("devices", 1);
        assert_eq!(growth.take_due(), [("devices", FACTOR * FIRST)]);
    }
    #[tokio::test]
    async fn postgres_knows_of_a_table_that_has_just_grown() -> anyhow::Result<()> {
        let Some(store) = TestStore::on_postgres().await? else {
            return Ok(());
        };
        let ids: Vec<_> = (0..FIRST).map(|number| format!("gate-{number}")).collect();
        let registered = ids.iter();
        let registered = registered.map(|id| store.register(store.ours, id, Timestamp(1)));
        try_join_all(registered).await?;
        let tenants = "SELECT n_distinct FROM pg_stats WHERE schemaname = current_schema() \
                       AND tablename = 'devices' AND attname = 'tenant_id'";
        let mut reader = store.database.read_single().await?;
        loop {
            let known: Option<f32> = sqlx::query_scalar(tenants)
                .fetch_optional(reader.conn())
                .await?;
            if let Some(tenants) = known {
                assert!((tenants - 1.0).abs() < f32::EPSILON, "{tenants} tenants");
                return Ok(());
            }
        }
    }
}
