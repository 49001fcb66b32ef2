use std::time::Duration;

use serde_json::json;
use sqlx::AssertSqlSafe;
use tidegate_captured_log::CapturedLog;
use tidegate_core::time::Timestamp;
use tidegate_engine::ports::{DatabaseHealth as _, Devices as _, StoreError, Tenants as _};
use tidegate_faults::{SmallDisk, SmallPostgres};

use crate::{Options, dialect::Dialect, error::failed, testing::TestStore};

const NOW: Timestamp = Timestamp(1);

async fn wait_until_healthy(store: &TestStore) {
    while store.unhealthy_reason().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_no_space<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::NoSpace(_)))
}

#[tokio::test]
async fn writes_fail_only_while_the_disk_is_full() -> anyhow::Result<()> {
    let Some(disk) = SmallDisk::mount(32 << 20)? else {
        return Ok(());
    };
    let store = TestStore::open(Options::sqlite(&disk.path().join("tidegate.db"))).await?;
    for round in 0..2 {
        assert_eq!(store.unhealthy_reason(), None);
        disk.fill(0)?;
        use_up_log(&store, round).await?;
        for _ in 0..3 {
            let refused = store.create_tenant("NEW", NOW).await;
            assert!(is_no_space(&refused), "{refused:?}");
            let refused = store.register(store.ours, "new", NOW).await;
            assert!(is_no_space(&refused), "{refused:?}");
            assert!(store.tenant("DEFAULT").await?.is_some(), "reads go on");
        }
        let reason = store.unhealthy_reason().unwrap_or_default();
        assert!(reason.contains("full"), "{reason}");
        disk.free()?;
        if round == 0 {
            // Without a request that writes.
            wait_until_healthy(&store).await;
        } else {
            store.create_tenant("NEW", NOW).await?;
            store.register(store.ours, "new", NOW).await?;
            wait_until_healthy(&store).await;
        }
    }
    Ok(())
}

/// The log of changes of SQLite may have room left.
async fn use_up_log(store: &TestStore, round: u32) -> anyhow::Result<()> {
    for number in 0..5_000 {
        let name = format!("LOG-{round}-{number}");
        if is_no_space(&store.create_tenant(&name, NOW).await) {
            return Ok(());
        }
    }
    anyhow::bail!("all is written")
}

#[tokio::test]
async fn an_attempt_to_write_after_a_failure_has_a_span() -> anyhow::Result<()> {
    let store = TestStore::on_sqlite().await?;
    store.database.fail_writes();
    let log = CapturedLog::start();
    assert!(store.unhealthy_reason().is_some());
    let spans = log.ended_spans("background_task", 1).await;
    let span = json!({"name": "background_task", "task": "write probe"});
    assert_eq!(spans[0], span);
    Ok(())
}

/// A transaction that needs half of a megabyte, and is unlike the others with another number.
async fn write_much(store: &TestStore, number: u32) -> Result<(), StoreError> {
    let rows = match store.database.dialect() {
        Dialect::Sqlite => format!("VALUES ('LARGE-{number}', hex(zeroblob(250000)), 0, 0)"),
        // As many rows, because PostgreSQL compresses a long text.
        Dialect::Postgres => format!(
            "SELECT 'LARGE-{number}-' || n, repeat('x', 1000), 0, 0 FROM generate_series(1, 500) n"
        ),
    };
    let columns = "name, settings, settings_revision, created_at";
    write(store, format!("INSERT INTO tenants ({columns}) {rows}")).await
}

async fn write(store: &TestStore, statement: String) -> Result<(), StoreError> {
    let mut tx = store.database.write().await?;
    let written = sqlx::raw_sql(AssertSqlSafe(statement)).execute(tx.conn());
    written.await.map_err(failed("write"))?;
    tx.commit().await
}

/// Checks that a database is unhealthy as long as it refuses large writes, although it takes small ones.
async fn check_nearly_full(store: &TestStore, disk: &SmallDisk) -> anyhow::Result<()> {
    let log = CapturedLog::start();
    disk.fill(200 << 10)?;
    // The log of changes of SQLite may have room left.
    let mut written = 0;
    while let Ok(()) = write_much(store, written).await {
        written += 1;
        anyhow::ensure!(written < 50, "all is written");
    }
    // One attempt a second, for longer than a database takes to be healthy again.
    for attempts in 1..=6 {
        let small = "UPDATE tenants SET created_at = created_at + 1 WHERE name = 'OTHER'";
        write(store, small.to_owned()).await?;
        let full = "the database cannot be written: its disk or its quota is full";
        assert_eq!(store.unhealthy_reason().as_deref(), Some(full));
        log.ended_spans("background_task", attempts).await;
    }
    let refused = write_much(store, written).await;
    assert!(is_no_space(&refused), "{refused:?}");
    disk.free()?;
    wait_until_healthy(store).await;
    write_much(store, written).await?;
    Ok(())
}

#[tokio::test]
async fn a_nearly_full_disk_is_unhealthy_until_there_is_room() -> anyhow::Result<()> {
    let Some(disk) = SmallDisk::mount(32 << 20)? else {
        return Ok(());
    };
    let store = TestStore::open(Options::sqlite(&disk.path().join("tidegate.db"))).await?;
    check_nearly_full(&store, &disk).await
}

#[tokio::test]
async fn a_nearly_full_disk_of_postgresql_is_unhealthy_until_there_is_room() -> anyhow::Result<()> {
    let Some(postgres) = SmallPostgres::start(192 << 20)? else {
        return Ok(());
    };
    let store = TestStore::open(Options::new(postgres.url())).await?;
    check_nearly_full(&store, &postgres.disk).await
}

/// SQLite rolls the transaction back by itself, and the connection must not be used again.
#[tokio::test]
async fn a_refused_write_does_not_affect_the_next() -> anyhow::Result<()> {
    let store = TestStore::on_sqlite().await?;
    let mut tx = store.database.write().await?;
    // The limit is raised to the present size, and belongs to this connection only.
    sqlx::raw_sql("PRAGMA max_page_count = 1")
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    let mut created = 0;
    let refused = loop {
        let name = format!("T{created}");
        match store.create_tenant(&name, NOW).await {
            Ok(_) => created += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::NoSpace(_)), "{refused:?}");
    assert!(store.unhealthy_reason().is_some());
    let name = format!("T{created}");
    assert_eq!(store.tenant(&name).await?, None);
    store.create_tenant(&name, NOW).await?;
    assert!(store.tenant(&name).await?.is_some());
    Ok(())
}
