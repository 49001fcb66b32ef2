use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use tidegate_core::{
    id::{FirmwareId, UpdateId},
    update::{UpdateStatus, UpdateType},
};
use tidegate_engine::ports::{DeviceUpdate, Devices as _, NewDevice, PollView};

use super::*;
use crate::{
    database::Tx,
    devices::{last_seen::LAST_SEEN, poll_view::POLL_VIEWS},
    dialect::Dialect,
    sql::SqlText,
    testing::TestStore,
};

async fn firmware_of(store: &TestStore, update: i32) -> anyhow::Result<FirmwareId> {
    let mut tx = store.database.read().await?;
    let firmware =
        sqlx::query_scalar("SELECT firmware_id FROM updates WHERE tenant_id = $1 AND id = $2")
            .bind(store.ours.0)
            .bind(update)
            .fetch_one(tx.conn());
    Ok(FirmwareId(firmware.await?))
}

on_both! {
    async fn a_poll_shows_the_heaviest_then_the_oldest_update(store) {
        let new = NewDevice {
            token_sha256: Some([5; 32]),
            polling_interval: Some(Duration::from_secs(90)),
            ..device("gate-1", &[], &[])
        };
        let key = store.create_device(store.ours, new).await?;
        let view = async || store.poll_view(store.ours, "gate-1").await;
        let idle = PollView {
            device: key,
            token_sha256: Some([5; 32]),
            old_token: None,
            wants_attributes: true,
            is_unseen: true,
            open: None,
            installed: None,
            polling_seconds: Some(90),
        };
        assert_eq!(view().await?, Some(idle.clone()));
        let shown = store.device(store.ours, "gate-1").await?.expect("a device");
        assert_eq!(shown.polling_interval, Some(Duration::from_secs(90)));

        // Completed and verifying updates are not shown.
        insert_update(store, store.ours, key, 9000, "completed").await?;
        insert_update(store, store.ours, key, 9000, "verifying").await?;
        assert_eq!(view().await?, Some(idle.clone()));

        let shown = async |id, status| {
            let open = DeviceUpdate {
                id: UpdateId(id),
                status,
                refusal: None,
                revision: 7,
                firmware: firmware_of(store, id).await?,
                update_type: UpdateType::Forced,
                window: None,
            };
            anyhow::Ok(Some(PollView { open: Some(Arc::new(open)), ..idle.clone() }))
        };
        let oldest = insert_update(store, store.ours, key, 500, "offered").await?;
        insert_update(store, store.ours, key, 500, "offered").await?;
        assert_eq!(view().await?, shown(oldest, UpdateStatus::Offered).await?);
        let heaviest = insert_update(store, store.ours, key, 800, "cancelling").await?;
        assert_eq!(view().await?, shown(heaviest, UpdateStatus::Cancelling).await?);

        // A row cannot refer to another tenant.
        assert!(insert_update(store, store.theirs, key, 9999, "offered").await.is_err());
        assert_eq!(view().await?, shown(heaviest, UpdateStatus::Cancelling).await?);
        assert_eq!(store.poll_view(store.theirs, "gate-1").await?, None);
        assert_eq!(store.poll_view(store.ours, "gate-1\0").await?, None);
    }

    async fn polls_that_share_a_statement_see_their_own_device_although_one_is_damaged(store) {
        let (ours, theirs) = (store.ours, store.theirs);
        let mut keys = Vec::new();
        for (tenant, id) in [(ours, "gate-1"), (theirs, "gate-1"), (ours, "gate-2"), (ours, "damaged")] {
            keys.push(store.create_device(tenant, device(id, &[], &[])).await?);
        }
        let mut tx = store.database.write().await?;
        sqlx::query("UPDATE devices SET token_sha256 = 'no hash' WHERE tenant_id = $1 AND device_id = 'damaged'")
            .bind(ours.0)
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        let polls = [
            (ours, "gate-1"), (theirs, "gate-1"), (ours, "gate-2"), (ours, "gate-1"), (theirs, "gate-2"), (ours, "damaged"),
        ];
        let views = join_all(polls.map(|(tenant, id)| store.poll_view(tenant, id))).await;
        let (damaged, whole) = views.split_last().expect("views");
        let found: Vec<_> = whole.iter().map(|view| view.as_ref().map(|view| view.as_ref().map(|view| view.device)).ok()).collect();
        let expected = [Some(keys[0]), Some(keys[1]), Some(keys[2]), Some(keys[0]), None].map(Some);
        assert_eq!(found, expected);
        assert!(matches!(damaged, Err(StoreError::Internal { .. })), "{damaged:?}");
    }
}

#[tokio::test]
async fn polls_go_by_index_however_few_devices_there_were_at_first() -> anyhow::Result<()> {
    let Some(store) = TestStore::on_postgres().await? else {
        return Ok(());
    };
    let requested = format!(r#"[{{"tenant_id":{},"device_id":"gate-1"}}]"#, store.ours.0);
    let tx = store.database.point_read().await?;
    let plan = plan(tx, &POLL_VIEWS, &[requested]).await?;
    for index in ["devices_tenant_id_device_id_key", "updates_open"] {
        assert!(plan.contains(index), "{plan}");
    }
    for detour in ["Seq Scan", "Hash", "Sort"] {
        assert!(!plan.contains(detour), "{plan}");
    }
    Ok(())
}

#[tokio::test]
async fn last_seen_times_do_not_read_all_devices_for_each_one() -> anyhow::Result<()> {
    let Some(store) = TestStore::on_postgres().await? else {
        return Ok(());
    };
    let polled = format!(
        r#"[{{"tenant_id":{},"id":1,"at":1,"hour":0,"address":null}}]"#,
        store.ours.0
    );
    let tx = store.database.write().await?;
    let plan = plan(tx, &LAST_SEEN, &[polled, "[1]".to_owned()]).await?;
    assert!(plan.contains("id = ANY"), "{plan}");
    assert!(!plan.contains("devices_tenant_id_id_key"), "{plan}");
    Ok(())
}

/// How PostgreSQL executes a statement.
async fn plan(mut tx: Tx, sql: &'static SqlText, values: &[String]) -> anyhow::Result<String> {
    let sql = format!("EXPLAIN {}", sql.of(Dialect::Postgres));
    let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
    for value in values {
        query = query.bind(value);
    }
    let plan: Vec<String> = query.fetch_all(tx.conn()).await?;
    Ok(plan.join("\n"))
}
