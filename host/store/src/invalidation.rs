//! Cache invalidation between servers, over PostgreSQL's LISTEN and NOTIFY.

use std::time::Duration;

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, postgres::PgListener};
use tidegate_core::id::TenantId;
use tidegate_engine::{chain, ports::StoreError, task_span};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tracing::Instrument as _;

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
/// The background task that receives notifications.
const LISTEN_TASK: &str = "cache invalidation";
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
    /// Notifications of other servers are not received: cached data must not be used until [`Self::Everything`].
    Suspended,
    /// Notifications are received from now on. Earlier ones may have been lost: all cached data may be stale.
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
    let messages = split_into_messages(device_ids).into_iter();
    send(tx, tenant, messages.map(Some)).await
}

/// Notifies other servers about this tenant when the transaction commits.
pub(crate) async fn notify_tenant(tx: &mut Tx, tenant: TenantId) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    send(tx, tenant, std::iter::once(None)).await
}

/// Sends messages in one statement, each about these devices or about the tenant.
async fn send(
    tx: &mut Tx,
    tenant: TenantId,
    messages: impl Iterator<Item = Option<Vec<String>>>,
) -> Result<(), StoreError> {
    let texts = messages.map(|devices| {
        to_json(&Message {
            server_name: tx.server_name().to_owned(),
            tenant: tenant.0,
            devices,
        })
    });
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    if texts.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT pg_notify($1, value) FROM {}",
        tx.dialect().json_texts("$2")
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(CHANNEL)
        .bind(to_json(&texts)?)
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
    stream::unfold(Subscription::Disconnected, {
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
    /// It has lost its connection, or has none yet, which its next item says.
    Disconnected,
    Connecting,
    Connected(ListenConnection),
}

struct ListenConnection {
    listener: PgListener,
    /// When the last notification was received, be it this server's own.
    last_received: Instant,
    /// Sends the heartbeat notifications until this is dropped.
    _heartbeat: JoinSet<()>,
}

impl Subscription {
    async fn next(self, database: &Database) -> (Vec<Invalidation>, Self) {
        let health = database.listen_health();
        match self {
            Self::Disconnected => {
                health.set_disconnected(true);
                (vec![Invalidation::Suspended], Self::Connecting)
            }
            Self::Connecting => {
                let connection = connect(database).await;
                health.set_disconnected(false);
                (vec![Invalidation::Everything], Self::Connected(connection))
            }
            Self::Connected(mut connection) => match connection.receive(database).await {
                Some(changes) => (changes, Self::Connected(connection)),
                None => (Vec::new(), Self::Disconnected),
            },
        }
    }
}

impl ListenConnection {
    /// The changes in the next notification. `None`: the connection is lost, or no notification arrived in time.
    async fn receive(&mut self, database: &Database) -> Option<Vec<Invalidation>> {
        let limit = database.limits().notification_timeout;
        let received = timeout_at(self.last_received + limit, self.listener.try_recv()).await;
        if let Ok(Ok(Some(message))) = received {
            self.last_received = Instant::now();
            return Some(parse_message(message.payload(), &database.server_name()));
        }
        task_span(LISTEN_TASK).in_scope(|| match received {
            Ok(Ok(_)) => tracing::warn!("connection for notifications closed"),
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "cannot receive notifications");
            }
            Err(_) => tracing::warn!(
                ?limit,
                "no notification received, not even this server's own"
            ),
        });
        None
    }
}

async fn connect(database: &Database) -> ListenConnection {
    loop {
        let listening = listen(database).instrument(task_span(LISTEN_TASK));
        if let Some(listener) = listening.await {
            let mut heartbeat = JoinSet::new();
            heartbeat.spawn(send_heartbeat_notifications(database.clone()));
            return ListenConnection {
                listener,
                last_received: Instant::now(),
                _heartbeat: heartbeat,
            };
        }
        tokio::time::sleep(RECONNECT_DELAY).await;
    }
}

pub(crate) async fn listen(database: &Database) -> Option<PgListener> {
    let limit = database.limits().connect * 2;
    let listening = async {
        let mut listener = PgListener::connect(database.url()).await?;
        // A lost connection is reported at once.
        listener.eager_reconnect(false);
        let settings = AssertSqlSafe(database.listen_settings());
        sqlx::raw_sql(settings).execute(&mut listener).await?;
        listener.listen(CHANNEL).await?;
        Ok::<_, sqlx::Error>(listener)
    };
    match timeout(limit, listening).await {
        Ok(Ok(listener)) => return Some(listener),
        Ok(Err(error)) => tracing::warn!(error = %chain(&error), "cannot listen for notifications"),
        Err(_) => tracing::warn!(?limit, "cannot listen for notifications: no answer in time"),
    }
    None
}

/// Notifies this server itself periodically, so that a period without notifications means a fault. Other servers ignore
/// a message without devices.
async fn send_heartbeat_notifications(database: Database) {
    loop {
        let sending = async {
            // The listening connection reports a missing heartbeat.
            if let Ok(mut tx) = database.write().await
                && send(&mut tx, TenantId(0), std::iter::once(Some(Vec::new())))
                    .await
                    .is_ok()
            {
                let _ = tx.commit().await;
            }
        };
        sending
            .instrument(task_span("heartbeat notification"))
            .await;
        tokio::time::sleep(database.limits().notification_period).await;
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
