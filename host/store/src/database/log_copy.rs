//! Copies SQLite's log of changes into the database file, beside the transactions that write it. Done by the writer, the
//! copy delays whatever waits for that commit, by as long as dozens of commits take.

use std::time::Duration;

use tidegate_engine::{chain, ports::StoreError, task_span};
use tokio::time::sleep;
use tracing::Instrument as _;

use super::{Database, Tx, tx::TxKind};
use crate::error::failed;

/// Time between two copies while changes are written. A page that changes often is copied once in each.
const PERIOD: Duration = Duration::from_millis(250);
/// The log, in pages of 4 KiB, from which it is begun anew.
const MAX_PAGES: i64 = 16_000;

/// Copies the log after changes, until the database is closed.
pub(super) async fn copy_log(database: Database) {
    while !database.is_closed() {
        database.committed.written.notified().await;
        sleep(PERIOD).await;
        let copied = database.copy_log(MAX_PAGES);
        let copied = copied.instrument(task_span("copy of the log")).await;
        if let Err(error) = copied
            && !database.is_closed()
        {
            tracing::warn!(
                error = %chain(&error),
                "SQLite's log could not be copied into the database, and grows until it can be"
            );
        }
    }
}

impl Database {
    /// Copies what is in the log. From this size on, it is also begun anew by the next transaction, which is possible
    /// when all of it is copied: so the rest, which was written meanwhile, is copied while no one writes.
    async fn copy_log(&self, max_pages: i64) -> Result<(), StoreError> {
        let pages = copy(self.read_single().await?).await?;
        if pages >= max_pages {
            let limit = self.limits.statement;
            copy(self.tx(&self.writers, TxKind::Single, limit).await?).await?;
        }
        Ok(())
    }
}

/// Copies the log, without waiting for others, and returns its size in pages.
async fn copy(mut tx: Tx) -> Result<i64, StoreError> {
    let copied = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)");
    let copied = copied.fetch_one(tx.conn()).await;
    let (_is_busy, pages, _copied): (i64, i64, i64) = copied.map_err(failed("copy the log"))?;
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use anyhow::Result;
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::testing::TestStore;

    /// Writes as many pages in one transaction, and returns the size of the log in pages.
    async fn write(database: &Database, pages: i64) -> Result<i64> {
        let mut tx = database.write().await?;
        let fill = format!(
            "CREATE TABLE IF NOT EXISTS filler (page BLOB); \
             WITH RECURSIVE numbers(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < {pages}) \
             INSERT INTO filler SELECT zeroblob(4000) FROM numbers"
        );
        sqlx::raw_sql(AssertSqlSafe(fill))
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        size(database, "-wal").await
    }

    /// The size of the database's file with this ending, in pages.
    async fn size(database: &Database, ending: &str) -> Result<i64> {
        let mut tx = database.read_single().await?;
        let path = sqlx::query_scalar("SELECT CAST(file AS TEXT) FROM pragma_database_list");
        let path: String = path.fetch_one(tx.conn()).await?;
        let bytes = std::fs::metadata(format!("{path}{ending}"))?.len();
        Ok(i64::try_from(bytes / 4096)?)
    }

    #[tokio::test]
    async fn the_log_is_copied_without_the_writer() -> Result<()> {
        let store = TestStore::on_sqlite().await?;
        let before = size(&store.database, "").await?;
        write(&store.database, 500).await?;
        while size(&store.database, "").await? < before + 500 {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    #[tokio::test]
    async fn the_log_is_begun_anew_although_transactions_never_cease() -> Result<()> {
        let store = TestStore::on_sqlite().await?;
        let database = &store.database;
        let has_ended = AtomicBool::new(false);
        let writing = async {
            for _ in 0..40 {
                write(database, 500).await?;
            }
            has_ended.store(true, Ordering::Relaxed);
            anyhow::Ok(())
        };
        let copying = async {
            while !has_ended.load(Ordering::Relaxed) {
                database.copy_log(2_000).await?;
            }
            anyhow::Ok(())
        };
        tokio::try_join!(writing, copying)?;
        let log = size(database, "-wal").await?;
        assert!(log < 10_000, "{log} of 20,000 pages");
        Ok(())
    }
}
