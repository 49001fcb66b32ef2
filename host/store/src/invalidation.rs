//! Cache invalidation between servers, over PostgreSQL's LISTEN and NOTIFY.

use std::time::Duration;

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use tidegate_core::id::TenantId;
use tidegate_engine::{chain, ports::StoreError};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    database::{Database, Tx},
    dialect::Dialect,
    error::failed,
    rows::to_json,
};

/// The channel. A message is a [`Message`] as JSON.
const CHANNEL: &str = "tidegate_devices";
/// PostgreSQL limits messages to less than 8000 bytes.
const MAX_MESSAGE_BYTES: usize = 7000;
/// The delay before a new attempt to listen.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// Cached data that another server changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invalidation {
    /// Cached data about this device is stale.
    Device {
        /// Its tenant.
        tenant: TenantId,
        /// The device's id, as operators use it.
        device_id: String,
    },
    /// Cached data about this tenant is stale, except about its devices.
    Tenant(TenantId),
    /// Messages of other servers do not arrive: cached data must not be used until [`Self::Everything`].
    Suspended,
    /// Messages arrive from now on. Earlier ones may have been lost: all cached data may be stale.
    Everything,
}

#[derive(Debug, Serialize, Deserialize)]
struct Message {
    /// The sender.
    server_name: String,
    tenant: i64,
    /// None: the message is about the tenant.
    devices: Option<Vec<String>>,
}

/// Notifies other servers about these devices when the transaction commits. On SQLite there are no other servers.
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

/// Notifies other servers about this tenant when the transaction commits.
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
    let (server_name, tenant) = (tx.server_name().to_owned(), tenant.0);
    let message = to_json(&Message {
        server_name,
        tenant,
        devices,
    })?;
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(message)
        .execute(tx.conn())
        .await
        .map_err(failed("notify other servers"))?;
    Ok(())
}

fn split_into_messages<'a>(device_ids: impl IntoIterator<Item = &'a str>) -> Vec<Vec<String>> {
    let mut messages: Vec<Vec<String>> = Vec::new();
    let mut remaining = 0;
    for id in device_ids {
        // Ids contain no control characters, so JSON escaping at most doubles their length.
        let bytes = id.len() * 2 + 3;
        match messages.last_mut() {
            Some(message) if bytes <= remaining => message.push(id.to_owned()),
            _ => {
                messages.push(vec![id.to_owned()]);
                remaining = MAX_MESSAGE_BYTES;
            }
        }
        remaining = remaining.saturating_sub(bytes);
    }
    messages
}

/// The invalidations of other servers. Begins with [`Invalidation::Suspended`], then [`Invalidation::Everything`] once it
/// listens.
pub(crate) fn subscribe(database: &Database) -> BoxStream<'static, Invalidation> {
    if database.dialect() == Dialect::Sqlite {
        return stream::pending().boxed();
    }
    stream::unfold(Subscription::Deaf, {
        let database = database.clone();
        move |subscription| {
            let database = database.clone();
            async move {
                let (changes, subscription) = subscription.next(&database).await;
                Some((stream::iter(changes), subscription))
            }
        }
    })
    .flatten()
    .boxed()
}

enum Subscription {
    /// It has lost its connection, or has none yet, and says so.
    Deaf,
    Connecting,
    Listening(Listening),
}

struct Listening {
    listener: PgListener,
    /// When this server heard anything for the last time, if only its own word.
    last_heard: Instant,
    /// Sends the own word. It ends when this is dropped.
    _echo: JoinSet<()>,
}

impl Subscription {
    async fn next(self, database: &Database) -> (Vec<Invalidation>, Self) {
        let health = database.listen_health();
        match self {
            Self::Deaf => {
                health.set_deaf(true);
                (vec![Invalidation::Suspended], Self::Connecting)
            }
            Self::Connecting => {
                let listening = connect(database).await;
                health.set_deaf(false);
                (vec![Invalidation::Everything], Self::Listening(listening))
            }
            Self::Listening(mut listening) => match listening.hear(database).await {
                Some(changes) => (changes, Self::Listening(listening)),
                None => (Vec::new(), Self::Deaf),
            },
        }
    }
}

impl Listening {
    /// The next message, or none if the connection is lost or silent.
    async fn hear(&mut self, database: &Database) -> Option<Vec<Invalidation>> {
        let limit = database.limits().silence;
        match timeout_at(self.last_heard + limit, self.listener.try_recv()).await {
            Ok(Ok(Some(message))) => {
                self.last_heard = Instant::now();
                Some(parse_message(message.payload(), &database.server_name()))
            }
            Ok(Ok(None)) => {
                tracing::warn!("the connection for invalidations was closed");
                None
            }
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "failed to listen for invalidations");
                None
            }
            Err(_) => {
                tracing::warn!(
                    ?limit,
                    "the own word did not arrive on the connection for invalidations"
                );
                None
            }
        }
    }
}

async fn connect(database: &Database) -> Listening {
    let limit = database.limits().connect * 2;
    loop {
        match timeout(limit, listen(database.url())).await {
            Ok(Ok(listener)) => {
                let mut echo = JoinSet::new();
                echo.spawn(send_own_word(database.clone()));
                return Listening {
                    listener,
                    last_heard: Instant::now(),
                    _echo: echo,
                };
            }
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "failed to listen for invalidations");
            }
            Err(_) => tracing::warn!(?limit, "failed to listen for invalidations: no answer"),
        }
        tokio::time::sleep(RECONNECT_DELAY).await;
    }
}

async fn listen(url: &str) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect(url).await?;
    // A lost connection is reported at once.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Notifies this server itself, so that silence means a fault. Other servers ignore a message without devices.
async fn send_own_word(database: Database) {
    loop {
        // Its absence is noticed.
        if let Ok(mut tx) = database.write().await
            && send(&mut tx, TenantId(0), Some(Vec::new())).await.is_ok()
        {
            let _ = tx.commit().await;
        }
        tokio::time::sleep(database.limits().own_word).await;
    }
}

fn parse_message(message: &str, server_name: &str) -> Vec<Invalidation> {
    match serde_json::from_str::<Message>(message) {
        // Ignore this server's own messages.
        Ok(message) if message.server_name == server_name => Vec::new(),
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
        // The format of a newer server.
        Err(_) => vec![Invalidation::Everything],
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tidegate_engine::ports::Tenants as _;

    use super::*;
    use anyhow::Context as _;

    use crate::testing::{TestStore, test_ctx};

    #[test]
    fn device_ids_are_packed_into_as_few_messages_as_possible() {
        let long = "x".repeat(256);
        let quotes = "\"".repeat(256);
        for (id, count) in [("a", 10), (&long, 100), (&quotes, 100), ("a", 0)] {
            let messages = split_into_messages(std::iter::repeat_n(id, count));
            assert_eq!(messages.iter().map(Vec::len).sum::<usize>(), count);
            for devices in messages {
                let message = to_json(&Message {
                    server_name: "server-0123456789abcdef".to_owned(),
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
    async fn other_servers_receive_committed_invalidations() -> anyhow::Result<()> {
        let Some(store) = TestStore::on_postgres().await? else {
            return Ok(());
        };
        let other = store.another_server().await?;
        let mut changes = store.invalidations();
        assert_eq!(changes.next().await, Some(Invalidation::Suspended));
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
        for (server, tenant) in [(&*store, store.ours), (&other, store.theirs)] {
            let before = server.tenant_by_id(tenant).await?.context("the tenant")?;
            let ctx = test_ctx(tenant);
            assert!(server.change_settings(&ctx, &before, &settings).await?);
        }
        let theirs = Invalidation::Tenant(store.theirs);
        assert_eq!(changes.next().await, Some(theirs));

        // A lost connection is noticed at once.
        let mut tx = store.database.write().await?;
        sqlx::query(
            "SELECT CASE WHEN pg_terminate_backend(pid) THEN 1 ELSE 0 END FROM pg_stat_activity \
             WHERE query LIKE 'LISTEN%' AND datname = current_database()",
        )
        .fetch_all(tx.conn())
        .await?;
        tx.commit().await?;
        assert_eq!(changes.next().await, Some(Invalidation::Suspended));
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
