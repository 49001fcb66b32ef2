mod full_disk;
mod outage;

use tidegate_core::time::Timestamp;
use tidegate_engine::ports::Tenants as _;

use super::*;
use crate::{
    Options,
    testing::{TestStore, on_both},
};

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

    async fn a_connection_that_works_ends_an_outage(store) {
        let pool: &Pool = &store.database.writers;
        store.database.write().await?.commit().await?;
        pool.begin_outage();
        assert!(pool.is_unreachable());
        store.database.write().await?.commit().await?;
        assert!(!pool.is_unreachable());
    }

    async fn only_some_commits_do_not_wait_for_the_disk(store) {
        let (setting, durable, unsynced) = match store.database.dialect() {
            Dialect::Sqlite => ("SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous", "2", "1"),
            Dialect::Postgres => (
                "SELECT CASE source WHEN 'session' THEN setting ELSE 'default' END FROM pg_settings \
                 WHERE name = 'synchronous_commit'",
                "default",
                "off",
            ),
        };
        let waits = async |tx: Result<Tx, StoreError>| -> anyhow::Result<String> {
            let mut tx = tx?;
            let waits = sqlx::query_scalar(setting).fetch_one(tx.conn()).await?;
            tx.commit().await?;
            Ok(waits)
        };
        let database = &store.database;
        for _ in 0..2 {
            assert_eq!(waits(database.write().await).await?, durable);
            assert_eq!(waits(database.write_by_key(LockWait::Normal).await).await?, durable);
            assert_eq!(waits(database.write_unsynced().await).await?, unsynced);
            let lease = match database.dialect() {
                Dialect::Sqlite => unsynced,
                Dialect::Postgres => durable,
            };
            assert_eq!(waits(database.write_lease().await).await?, lease);
        }
        // Also after one that was not committed.
        drop(database.write_unsynced().await?);
        assert_eq!(waits(database.write().await).await?, durable);
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
        let sql = sqlx::AssertSqlSafe(format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"));
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

#[test]
fn a_store_may_outlive_the_runtime_that_used_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let options = Options::sqlite(&folder.path().join("tidegate.db"));
    let store = runtime.block_on(TestStore::open(options))?;
    assert!(runtime.block_on(store.tenant("DEFAULT"))?.is_some());
    drop(runtime);
    drop(store);
    Ok(())
}

#[tokio::test]
async fn a_batch_keeps_its_plans_and_other_transactions_do_not() -> anyhow::Result<()> {
    let Some(store) = TestStore::on_postgres().await? else {
        return Ok(());
    };
    let planning = async |mut tx: Tx| {
        let mode = sqlx::query_scalar("SELECT current_setting('plan_cache_mode')");
        let mode: String = mode.fetch_one(tx.conn()).await?;
        tx.commit().await?;
        anyhow::Ok(mode)
    };
    for lock_wait in [LockWait::Normal, LockWait::Short] {
        let batch = store.database.write_by_key(lock_wait).await?;
        assert_eq!(planning(batch).await?, "force_generic_plan");
        let write = store.database.write().await?;
        assert_eq!(planning(write).await?, "force_custom_plan");
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_keeps_its_plans_for_a_while() -> anyhow::Result<()> {
    let Some(store) = TestStore::on_postgres().await? else {
        return Ok(());
    };
    let planning = async |tx: &mut Tx| {
        let settings =
            "SELECT current_setting('plan_cache_mode') || ' ' || current_setting('enable_seqscan')";
        let settings: String = sqlx::query_scalar(settings).fetch_one(tx.conn()).await?;
        anyhow::Ok(settings)
    };
    let mut tx = store.database.write().await?;
    let before = planning(&mut tx).await?;
    tx.keep_plans().await?;
    assert_eq!(planning(&mut tx).await?, "force_generic_plan off");
    tx.plan_every_statement().await?;
    assert_eq!(planning(&mut tx).await?, before);
    assert_eq!(before, "force_custom_plan on");
    tx.commit().await?;

    let mut batch = store.database.write_by_key(LockWait::Normal).await?;
    batch.keep_plans().await?;
    batch.plan_every_statement().await?;
    assert_eq!(planning(&mut batch).await?, "force_generic_plan off");
    Ok(())
}
