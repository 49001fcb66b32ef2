//! What hosts tell one another: the devices and tenants whose remembered answers are out of date.

use std::{sync::Arc, time::Duration};

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use tidegate_core::id::TenantId;
use tidegate_engine::ports::StoreError;

use crate::{
    database::{Database, Tx},
    dialect::Dialect,
    error::failed,
    rows::to_json,
};

/// PostgreSQL's channel. A message of it is [`Message`] as JSON.
const CHANNEL: &str = "tidegate_devices";
/// PostgreSQL takes messages of less than 8000 bytes.
const MAX_MESSAGE_BYTES: usize = 7000;
/// How long to wait before trying to listen again.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// Something that another host changed, and that may be remembered here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invalidation {
    /// What is remembered of this device is out of date.
    Device {
        /// Whose it is.
        tenant: TenantId,
        /// Its id.
        device_id: String,
    },
    /// What is remembered of this tenant, its devices aside, is out of date.
    Tenant(TenantId),
    /// Messages may have been missed: everything that is remembered may be out of date.
    Everything,
}

#[derive(Debug, Serialize, Deserialize)]
struct Message {
    /// Who says so.
    host: String,
    tenant: i64,
    /// None: the tenant itself.
    devices: Option<Vec<String>>,
}

/// Tells every other host of these devices when the transaction commits. On SQLite there is no other host.
pub(crate) async fn notify_devices<'a>(
    tx: &mut Tx,
    tenant: TenantId,
    device_ids: impl IntoIterator<Item = &'a str>,
) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    for devices in split_into_messages(device_ids) {
        send(tx, tenant, Some(devices)).await?;
    }
    Ok(())
}

/// Tells every other host that this tenant changed, when the transaction commits.
pub(crate) async fn notify_tenant(tx: &mut Tx, tenant: TenantId) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    send(tx, tenant, None).await
}

async fn send(
    tx: &mut Tx,
    tenant: TenantId,
    devices: Option<Vec<String>>,
) -> Result<(), StoreError> {
    let (host, tenant) = (tx.host().to_owned(), tenant.0);
    let message = to_json(&Message {
        host,
        tenant,
        devices,
    })?;
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(message)
        .execute(tx.conn())
        .await
        .map_err(failed("announce changes"))?;
    Ok(())
}

fn split_into_messages<'a>(device_ids: impl IntoIterator<Item = &'a str>) -> Vec<Vec<String>> {
    let mut messages: Vec<Vec<String>> = Vec::new();
    let mut room = 0;
    for id in device_ids {
        // Escaping can double a character at most: ids have no control characters.
        let bytes = id.len() * 2 + 3;
        match messages.last_mut() {
            Some(message) if bytes <= room => message.push(id.to_owned()),
            _ => {
                messages.push(vec![id.to_owned()]);
                room = MAX_MESSAGE_BYTES;
            }
        }
        room = room.saturating_sub(bytes);
    }
    messages
}

/// All that other hosts announce from now on; begins with [`Invalidation::Everything`] as soon as it listens.
pub(crate) fn subscribe(database: &Database) -> BoxStream<'static, Invalidation> {
    if database.dialect() == Dialect::Sqlite {
        return stream::pending().boxed();
    }
    let (host, url) = (database.host(), database.url().to_owned());
    stream::unfold(None::<PgListener>, move |listener| {
        let (host, url) = (Arc::clone(&host), url.clone());
        async move {
            let (changes, listener) = next_invalidations(listener, &host, &url).await;
            Some((stream::iter(changes), Some(listener)))
        }
    })
    .flatten()
    .boxed()
}

async fn next_invalidations(
    listener: Option<PgListener>,
    host: &str,
    url: &str,
) -> (Vec<Invalidation>, PgListener) {
    if let Some(mut listener) = listener {
        match listener.try_recv().await {
            Ok(Some(message)) => return (parse_message(message.payload(), host), listener),
            // It has connected anew by itself.
            Ok(None) => return (vec![Invalidation::Everything], listener),
            Err(error) => tracing::warn!(%error, "changes of other hosts are not heard"),
        }
    }
    loop {
        match listen(url).await {
            Ok(listener) => return (vec![Invalidation::Everything], listener),
            Err(error) => {
                tracing::warn!(%error, "changes of other hosts are not heard");
                tokio::time::sleep(RECONNECT_DELAY).await;
            }
        }
    }
}

async fn listen(url: &str) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

fn parse_message(message: &str, host: &str) -> Vec<Invalidation> {
    match serde_json::from_str::<Message>(message) {
        // What this host did, it knows already.
        Ok(message) if message.host == host => Vec::new(),
        Ok(message) => {
            let tenant = TenantId(message.tenant);
            let Some(devices) = message.devices else {
                return vec![Invalidation::Tenant(tenant)];
            };
            let devices = devices.into_iter();
            devices
                .map(|device_id| Invalidation::Device { tenant, device_id })
                .collect()
        }
        // A newer host's word: something changed.
        Err(_) => vec![Invalidation::Everything],
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tidegate_engine::ports::Tenants as _;

    use super::*;
    use crate::testing::TestStore;

    #[test]
    fn device_ids_are_packed_into_as_few_messages_as_possible() {
        let long = "x".repeat(256);
        let quotes = "\"".repeat(256);
        for (id, count) in [("a", 10), (&long, 100), (&quotes, 100), ("a", 0)] {
            let messages = split_into_messages(std::iter::repeat_n(id, count));
            assert_eq!(messages.iter().map(Vec::len).sum::<usize>(), count);
            for devices in messages {
                let message = to_json(&Message {
                    host: "host-0123456789abcdef".to_owned(),
                    tenant: i64::MAX,
                    devices: Some(devices),
                })
                .expect("JSON");
                assert!(message.len() < 8000, "{}", message.len());
            }
        }
        assert_eq!(split_into_messages(["a", "b"]), [["a", "b"]]);
    }

    #[tokio::test]
    async fn sqlite_sends_no_invalidations() -> anyhow::Result<()> {
        let store = TestStore::on_sqlite().await?;
        let mut tx = store.database.write().await?;
        notify_devices(&mut tx, store.ours, ["a"]).await?;
        tx.commit().await?;
        assert!(store.invalidations().next().now_or_never().is_none());
        Ok(())
    }

    #[tokio::test]
    async fn other_hosts_receive_committed_invalidations() -> anyhow::Result<()> {
        let Some(store) = TestStore::on_postgres().await? else {
            return Ok(());
        };
        let other = store.another_host().await?;
        let mut changes = store.invalidations();
        assert_eq!(changes.next().await, Some(Invalidation::Everything));
        for (database, tenant, id, is_committed) in [
            (&store.database, store.ours, "its own", true),
            (&other.database, store.ours, "undone", false),
            (&other.database, store.theirs, "done", true),
        ] {
            let mut tx = database.write().await?;
            notify_devices(&mut tx, tenant, [id]).await?;
            if is_committed {
                tx.commit().await?;
            }
        }
        let done = Invalidation::Device {
            tenant: store.theirs,
            device_id: "done".to_owned(),
        };
        assert_eq!(changes.next().await, Some(done));
        let settings = tidegate_core::settings::TenantSettings::default();
        for (store, tenant) in [(&*store, store.ours), (&other, store.theirs)] {
            assert!(store.change_settings(tenant, 0, &settings).await?);
        }
        let theirs = Invalidation::Tenant(store.theirs);
        assert_eq!(changes.next().await, Some(theirs));

        // A cut connection is heard of, too.
        let mut tx = store.database.write().await?;
        sqlx::query(
            "SELECT CASE WHEN pg_terminate_backend(pid) THEN 1 ELSE 0 END FROM pg_stat_activity \
             WHERE query LIKE 'LISTEN%' AND datname = current_database()",
        )
        .fetch_all(tx.conn())
        .await?;
        tx.commit().await?;
        assert_eq!(changes.next().await, Some(Invalidation::Everything));
        let mut tx = other.database.write().await?;
        notify_devices(&mut tx, store.ours, ["again"]).await?;
        tx.commit().await?;
        let again = Invalidation::Device {
            tenant: store.ours,
            device_id: "again".to_owned(),
        };
        assert_eq!(changes.next().await, Some(again));
        Ok(())
    }
}
