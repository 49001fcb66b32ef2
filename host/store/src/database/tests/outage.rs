//! PostgreSQL behind a network that fails.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::StreamExt as _;
use serde_json::json;
use sqlx::AssertSqlSafe;
use tidegate_captured_log::CapturedLog;
use tidegate_core::{log::LogSource, time::Timestamp};
use tidegate_engine::ports::{
    DatabaseHealth as _, DeviceEvent, DeviceReport, Devices as _, ReportedLines, StoreError,
    Tenants as _, Updates as _,
};
use tidegate_faults::TcpProxy;

use crate::{
    Options, SqlStore, TimeLimits,
    database::{
        Database, Tx,
        pool::{Pool, PoolRole},
    },
    dialect::Dialect,
    error::failed,
    invalidation::{Invalidation, listen, notify_devices},
    test_database,
    test_fixture::{StoreFixture, later},
    testing::TestStore,
};

const NOW: Timestamp = Timestamp(1);
const INSERT: &str = "INSERT INTO tenants (name, settings, settings_revision, created_at) VALUES ('HALF', '{}', 0, 0)";

/// A database, a network to it, and a server behind that network.
struct Outage {
    direct: TestStore,
    proxy: TcpProxy,
    server: SqlStore,
}

impl Outage {
    /// None without a PostgreSQL server. The limits of the server are short; it has few connections.
    async fn prepare() -> anyhow::Result<Option<Self>> {
        Self::prepare_with(4).await
    }

    async fn prepare_with(connections: u32) -> anyhow::Result<Option<Self>> {
        let Some(url) = test_database::create()
            .await
            .map_err(anyhow::Error::from_boxed)?
        else {
            return Ok(None);
        };
        let direct = TestStore::open(Options {
            limits: limits(),
            ..Options::new(url.clone())
        })
        .await?;
        let (before, after) = url.rsplit_once('/').context("the path")?;
        let (scheme, target) = before.rsplit_once('@').context("the host")?;
        let proxy = TcpProxy::start(target).await?;
        let server = SqlStore::open(Options {
            server_name: "behind the proxy".to_owned(),
            connections,
            limits: limits(),
            ..Options::new(format!("{scheme}@{}/{after}", proxy.addr()))
        })
        .await?;
        Ok(Some(Self {
            direct,
            proxy,
            server,
        }))
    }

    /// Uses the server until it works: connections that died while they were idle are found one by one.
    async fn works_again(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut in_a_row = 0;
        while in_a_row < 8 {
            let reads = self.server.poll_view(self.direct.ours, "a").await.is_ok();
            let writes = self
                .server
                .register(self.direct.ours, "a", NOW)
                .await
                .is_ok();
            in_a_row = if reads && writes { in_a_row + 1 } else { 0 };
            if in_a_row == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            anyhow::ensure!(
                started.elapsed() < Duration::from_secs(20),
                "it never works"
            );
        }
        while self.server.unhealthy_reason().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

fn limits() -> TimeLimits {
    TimeLimits {
        connect: Duration::from_millis(500),
        lock: Duration::from_millis(300),
        statement: Duration::from_millis(700),
        point_read: Duration::from_millis(400),
        batch_statement: Duration::from_millis(500),
        idle_in_transaction: Duration::from_millis(1500),
        network: Duration::from_millis(100),
        notification_period: Duration::from_millis(100),
        notification_timeout: Duration::from_millis(600),
        ..TimeLimits::default()
    }
}

/// The longest of these limits, with a margin for a busy machine.
const SOON: Duration = Duration::from_secs(4);
/// For a busy machine.
const BUSY: Duration = Duration::from_secs(2);

async fn insert(tx: &mut Tx) -> Result<(), StoreError> {
    let inserted = sqlx::query(INSERT).execute(tx.conn()).await;
    inserted.map(drop).map_err(failed("insert"))
}

fn is_unavailable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Begin,
    Statement,
    Commit,
    Rollback,
}

const PHASES: [Phase; 4] = [
    Phase::Begin,
    Phase::Statement,
    Phase::Commit,
    Phase::Rollback,
];

/// A transaction during which the network fails in this phase. A rollback has no result: that of the next one counts.
async fn fail_in(
    phase: Phase,
    outage: &Outage,
    fail: impl Fn(&TcpProxy),
) -> Result<(), StoreError> {
    let database = &outage.server.database;
    if phase == Phase::Begin {
        fail(&outage.proxy);
        return database.write().await.map(drop);
    }
    let mut tx = database.write().await?;
    insert(&mut tx).await?;
    fail(&outage.proxy);
    if phase == Phase::Statement {
        return sqlx::query("SELECT id FROM tenants")
            .execute(tx.conn())
            .await
            .map(drop)
            .map_err(failed("read"));
    }
    if phase == Phase::Rollback {
        drop(tx);
        return database.write().await.map(drop);
    }
    tx.commit().await
}

#[tokio::test]
async fn a_connection_that_is_cut_in_any_phase_is_replaced() -> anyhow::Result<()> {
    let Some(outage) = Outage::prepare().await? else {
        return Ok(());
    };
    for phase in PHASES {
        outage.works_again().await?;
        let failed = fail_in(phase, &outage, TcpProxy::cut).await;
        // If no connection was idle, BEGIN gets a new one.
        if !matches!(phase, Phase::Begin | Phase::Rollback) || failed.is_err() {
            assert!(is_unavailable(&failed), "{phase:?}: {failed:?}");
            assert!(outage.server.unhealthy_reason().is_some(), "{phase:?}");
        }
        outage.works_again().await?;
        assert_eq!(outage.direct.tenant("HALF").await?, None, "{phase:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_silent_connection_is_given_up_in_any_phase() -> anyhow::Result<()> {
    let Some(outage) = Outage::prepare().await? else {
        return Ok(());
    };
    for phase in PHASES {
        outage.works_again().await?;
        let started = Instant::now();
        let failed = fail_in(phase, &outage, TcpProxy::freeze).await;
        assert!(is_unavailable(&failed), "{phase:?}: {failed:?}");
        // More operations than connections: none may occupy a place for good.
        for _ in 0..6 {
            assert!(is_unavailable(&outage.server.tenants().await));
            let poll = outage.server.poll_view(outage.direct.ours, "a").await;
            assert!(is_unavailable(&poll));
        }
        assert!(outage.server.unhealthy_reason().is_some(), "{phase:?}");
        assert!(
            started.elapsed() < 4 * SOON,
            "{phase:?}: {:?}",
            started.elapsed()
        );
        outage.proxy.restore();
        outage.works_again().await?;
        // The connection that was given up froze with its COMMIT sent: it may arrive.
        if phase != Phase::Commit {
            assert_eq!(outage.direct.tenant("HALF").await?, None, "{phase:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_idle_connection_that_died_is_found_at_its_next_use() -> anyhow::Result<()> {
    let Some(outage) = Outage::prepare().await? else {
        return Ok(());
    };
    for next_use in [
        NextUse::Write,
        NextUse::Read,
        NextUse::ReadSingle,
        NextUse::Point,
    ] {
        outage.works_again().await?;
        let database = &outage.server.database;
        let pool = match next_use {
            NextUse::Point => &database.point_readers,
            NextUse::Write | NextUse::Read | NextUse::ReadSingle => &database.writers,
        };
        while pool.num_idle() == 0 {
            tokio::task::yield_now().await;
        }
        // Nothing is sent when the network dies, so only a statement can find out.
        outage.proxy.freeze();
        let started = Instant::now();
        let failed = match next_use {
            NextUse::Write => database.write().await.map(drop),
            NextUse::Read => database.read().await.map(drop),
            NextUse::ReadSingle => outage.server.tenants().await.map(drop),
            NextUse::Point => {
                let view = outage.server.poll_view(outage.direct.ours, "a");
                view.await.map(drop)
            }
        };
        let elapsed = started.elapsed();
        assert!(is_unavailable(&failed), "{next_use:?}: {failed:?}");
        let limits = limits();
        let deadline = match next_use {
            NextUse::Write | NextUse::Read => limits.connect,
            NextUse::ReadSingle => limits.statement + limits.network,
            NextUse::Point => limits.point_read + limits.network,
        };
        assert!(elapsed < deadline + BUSY, "{next_use:?}: {elapsed:?}");
        outage.proxy.restore();
    }
    Ok(())
}

/// Opens all connections for point reads, and leaves them ready.
async fn fill_point_readers(database: &Database, connections: usize) -> Result<(), StoreError> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(database.point_read().await?);
    }
    drop(open);
    assert_eq!(database.point_readers.num_idle(), connections);
    Ok(())
}

#[tokio::test]
async fn the_first_connection_that_died_has_the_others_checked() -> anyhow::Result<()> {
    let Some(outage) = Outage::prepare_with(16).await? else {
        return Ok(());
    };
    outage.works_again().await?;
    fill_point_readers(&outage.server.database, 8).await?;
    // New connections work, as behind a router that was restarted.
    outage.proxy.forget();
    // The second try of the read has a new connection.
    let view = outage.server.poll_view(outage.direct.ours, "a").await;
    assert!(view.is_ok(), "{view:?}");
    Ok(())
}

#[tokio::test]
async fn idle_connections_that_died_are_checked_all_at_once() -> anyhow::Result<()> {
    let Some(outage) = Outage::prepare_with(40).await? else {
        return Ok(());
    };
    outage.works_again().await?;
    let database = &outage.server.database;
    fill_point_readers(database, 20).await?;
    database.point_readers.age_ready();
    outage.proxy.forget();
    let started = Instant::now();
    // On a busy machine there may be no time for a new connection.
    let _ = database.point_read().await;
    let elapsed = started.elapsed();
    assert!(elapsed < limits().connect + BUSY, "{elapsed:?}");
    outage.works_again().await
}

#[derive(Debug, Clone, Copy)]
enum NextUse {
    Write,
    Read,
    ReadSingle,
    Point,
}

#[tokio::test]
async fn every_session_of_postgres_is_set_up() -> anyhow::Result<()> {
    let Some(url) = test_database::create()
        .await
        .map_err(anyhow::Error::from_boxed)?
    else {
        return Ok(());
    };
    let store = TestStore::open(Options {
        limits: limits(),
        ..Options::new(url)
    })
    .await?;
    let database = &store.database;
    let limits = limits();
    let options = database.url().parse()?;
    let migrating = Pool::open(Dialect::Postgres, &options, 1, PoolRole::Migrate, limits).await?;
    let mut listener = listen(database).await.context("it listens")?;
    let (lock, statement, point_read) = (limits.lock, limits.statement, limits.point_read);
    for (session, found, lock_timeout, statement_timeout) in [
        (
            "write",
            sqlx::query_as(SETTINGS)
                .fetch_all(database.write().await?.conn())
                .await?,
            lock,
            statement,
        ),
        (
            "read",
            sqlx::query_as(SETTINGS)
                .fetch_all(database.read().await?.conn())
                .await?,
            lock,
            statement,
        ),
        (
            "single",
            sqlx::query_as(SETTINGS)
                .fetch_all(database.read_single().await?.conn())
                .await?,
            lock,
            statement,
        ),
        (
            "point",
            sqlx::query_as(SETTINGS)
                .fetch_all(database.point_read().await?.conn())
                .await?,
            lock,
            point_read,
        ),
        (
            "migrate",
            sqlx::query_as(SETTINGS)
                .fetch_all(migrating.connections())
                .await?,
            Duration::from_mins(10),
            Duration::ZERO,
        ),
        (
            "listen",
            sqlx::query_as(SETTINGS).fetch_all(&mut listener).await?,
            lock,
            statement,
        ),
    ] {
        let found: BTreeMap<String, i64> = found.into_iter().collect();
        for (setting, expected) in [
            ("lock_timeout", lock_timeout),
            ("statement_timeout", statement_timeout),
            (
                "idle_in_transaction_session_timeout",
                limits.idle_in_transaction,
            ),
            ("tcp_keepalives_idle", Duration::from_millis(5)),
            ("tcp_keepalives_interval", Duration::from_millis(2)),
            ("tcp_keepalives_count", Duration::from_millis(3)),
            ("tcp_user_timeout", Duration::from_secs(10)),
        ] {
            let expected = expected.as_millis() as i64;
            assert_eq!(found.get(setting), Some(&expected), "{session}: {setting}");
        }
    }
    Ok(())
}

/// In the unit of each setting: milliseconds, seconds or a number.
const SETTINGS: &str = "SELECT CAST(name AS TEXT), CAST(setting AS BIGINT) FROM pg_settings \
     WHERE name LIKE '%timeout' OR name LIKE 'tcp_%'";

#[tokio::test]
async fn a_refused_connection_fails_soon() -> anyhow::Result<()> {
    let Some(outage) = Outage::prepare().await? else {
        return Ok(());
    };
    outage.proxy.refuse();
    for _ in 0..4 {
        let started = Instant::now();
        assert!(is_unavailable(&outage.server.tenants().await));
        let poll = outage.server.poll_view(outage.direct.ours, "a").await;
        assert!(is_unavailable(&poll));
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    }
    outage.proxy.restore();
    outage.works_again().await
}

#[tokio::test]
async fn a_server_that_vanishes_in_a_transaction_holds_up_one_device_for_a_short_time()
-> anyhow::Result<()> {
    let Some(outage) = Outage::prepare().await? else {
        return Ok(());
    };
    let fixture = StoreFixture::new(&outage.direct, &[4]).await?;
    // Reports are queued behind the first, so that this one shares a batch.
    let [_, .., locked] = &fixture.devices[..] else {
        anyhow::bail!("no devices");
    };
    let mut tx = outage.server.database.write().await?;
    let lock = "SELECT id FROM devices WHERE tenant_id = $1 AND id = $2 FOR UPDATE";
    sqlx::query(lock)
        .bind(fixture.tenant.0)
        .bind(locked.0)
        .fetch_all(tx.conn())
        .await?;
    outage.proxy.freeze();

    let reports = fixture.devices.iter();
    let reports = reports.map(|device| fixture.report_version(*device, "9.9.9", later(1)));
    let started = Instant::now();
    let results = futures::future::join_all(reports).await;
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    for (device, result) in fixture.devices.iter().zip(&results) {
        assert_eq!(result.is_err(), device == locked, "{result:?}");
    }
    assert_eq!(
        outage.direct.unhealthy_reason(),
        None,
        "others were written"
    );

    // PostgreSQL ends the transaction of the vanished server.
    while fixture
        .report_version(*locked, "9.9.9", later(2))
        .await
        .is_err()
    {
        assert!(started.elapsed() < 3 * SOON, "{:?}", started.elapsed());
    }
    drop(tx);
    Ok(())
}

#[tokio::test]
async fn errors_of_postgres_are_classified_and_close_the_connection() -> anyhow::Result<()> {
    let Some(url) = test_database::create()
        .await
        .map_err(anyhow::Error::from_boxed)?
    else {
        return Ok(());
    };
    // One connection for all but point reads.
    let store = TestStore::open(Options {
        connections: 2,
        ..Options::new(url)
    })
    .await?;
    let mut last_backend = 0;
    for (code, expected) in [
        ("53100", "NoSpace"),
        ("55P03", "Locked"),
        ("40001", "Unavailable"),
        ("40P01", "Unavailable"),
        ("57014", "Unavailable"),
        ("25P03", "Unavailable"),
        ("25006", "Unavailable"),
        ("57P01", "Unavailable"),
        ("57P02", "Unavailable"),
        ("57P03", "Unavailable"),
        ("53300", "Unavailable"),
        ("08006", "Unavailable"),
        ("58030", "Unavailable"),
        ("23505", "Conflict"),
        ("42601", "Internal"),
    ] {
        let mut tx = store.database.write().await?;
        let backend: i64 = sqlx::query_scalar("SELECT CAST(pg_backend_pid() AS BIGINT)")
            .fetch_one(tx.conn())
            .await?;
        assert_ne!(
            backend, last_backend,
            "before {code}: the connection is a new one"
        );
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$");
        let raised = sqlx::raw_sql(AssertSqlSafe(raise)).execute(tx.conn()).await;
        let error = raised.map_err(failed("raise")).err().context("an error")?;
        assert!(
            format!("{error:?}").starts_with(expected),
            "{code}: {error:?}"
        );
        // An error of the statement alone leaves the connection as it is.
        last_backend = if expected == "Conflict" { 0 } else { backend };
    }
    Ok(())
}

#[tokio::test]
async fn a_server_of_the_database_that_became_a_standby_is_left() -> anyhow::Result<()> {
    let Some(url) = test_database::create()
        .await
        .map_err(anyhow::Error::from_boxed)?
    else {
        return Ok(());
    };
    let store = TestStore::open(Options {
        connections: 2,
        ..Options::new(url)
    })
    .await?;
    let mut tx = store.database.write().await?;
    sqlx::raw_sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    let refused = store.create_tenant("NEW", NOW).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    assert!(store.unhealthy_reason().is_some());
    store.create_tenant("NEW", NOW).await?;
    Ok(())
}

/// Only then do refused reports stop the clock of updates.
#[tokio::test]
async fn a_database_that_takes_reports_is_not_out() -> anyhow::Result<()> {
    let Some(outage) = Outage::prepare().await? else {
        return Ok(());
    };
    let (server, tenant) = (&outage.server, outage.direct.ours);
    let fixture = StoreFixture::new(&outage.direct, &[1]).await?;
    assert!(!server.is_unavailable());
    // Its connection for notifications is lost, and a row is locked.
    server.database.listen_health().set_disconnected(true);
    assert!(server.unhealthy_reason().is_some());
    let mut tx = outage.direct.database.write().await?;
    let lock = "SELECT id FROM devices WHERE tenant_id = $1 AND id = $2 FOR UPDATE";
    sqlx::query(lock)
        .bind(tenant.0)
        .bind(fixture.devices[0].0)
        .fetch_all(tx.conn())
        .await?;
    let report = DeviceReport {
        tenant,
        device: fixture.devices[0],
        by: None,
        read_at: None,
        at: later(1),
        event: DeviceEvent::Log(ReportedLines {
            update: None,
            source: LogSource::Device,
            lines: vec!["a line".to_owned()],
        }),
    };
    let refused = server.report(report).await;
    assert!(refused.is_err(), "the row is locked");
    assert!(!server.is_unavailable());
    drop(tx);
    server.database.listen_health().set_disconnected(false);

    // Its network is dead, although nothing is written.
    outage.proxy.refuse();
    let started = Instant::now();
    while !server.is_unavailable() {
        let _ = server.poll_view(tenant, "a").await;
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    }
    outage.proxy.restore();
    outage.works_again().await?;
    assert!(!server.is_unavailable());
    Ok(())
}

#[tokio::test]
async fn a_server_without_notifications_is_unhealthy_and_listens_again() -> anyhow::Result<()> {
    let Some(outage) = Outage::prepare().await? else {
        return Ok(());
    };
    let is_disconnected = || {
        let reason = outage.server.database.listen_health().unhealthy_reason();
        reason.is_some_and(|reason| reason.contains("not received"))
    };
    let log = CapturedLog::start();
    let mut changes = outage.server.invalidations();
    assert_eq!(changes.next().await, Some(Invalidation::Suspended));
    assert!(outage.server.unhealthy_reason().is_some());
    for fail in [TcpProxy::freeze, TcpProxy::refuse, TcpProxy::cut] {
        assert_eq!(changes.next().await, Some(Invalidation::Everything));
        assert!(!is_disconnected());
        // It receives its own notifications, which are no changes.
        let unchanged =
            tokio::time::timeout(2 * limits().notification_timeout, changes.next()).await;
        assert!(unchanged.is_err(), "{unchanged:?}");

        fail(&outage.proxy);
        let started = Instant::now();
        assert_eq!(changes.next().await, Some(Invalidation::Suspended));
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        assert!(is_disconnected());
        outage.proxy.restore();
    }
    assert_eq!(changes.next().await, Some(Invalidation::Everything));
    let mut tx = outage.direct.database.write().await?;
    notify_devices(&mut tx, outage.direct.ours, ["a"]).await?;
    tx.commit().await?;
    let received = Invalidation::Device {
        tenant: outage.direct.ours,
        device_id: "a".to_owned(),
    };
    assert_eq!(changes.next().await, Some(received));

    // Its log lines and its notifications have spans.
    let span = |task| json!({"name": "background_task", "task": task});
    let warnings = log.events("no notification received, not even this server's own");
    assert!(!warnings.is_empty());
    for warning in warnings {
        assert_eq!(warning["span"], span("cache invalidation"));
    }
    let spans = log.ended_spans("background_task", 2).await;
    assert!(spans.contains(&span("heartbeat notification")), "{spans:?}");
    Ok(())
}
