use std::time::Duration;

use serde_json::json;
use tidegate_captured_log::CapturedLog;
use tidegate_core::time::Timestamp;
use tidegate_engine::ports::{DatabaseHealth as _, Devices as _, StoreError, Tenants as _};
use tidegate_faults::SmallDisk;

use crate::{Options, testing::TestStore};

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
