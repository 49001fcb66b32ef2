//! A server whose PostgreSQL cannot be reached, or has another time.

mod test_config;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tidegate::{
    app::{App, Environment, RunningApp},
    config::{Config, ConfigDuration},
};
use tidegate_core::{reporting_clock::ReportingClock, time::Timestamp};
use tidegate_engine::ports::Clock;
use tidegate_faults::TcpProxy;
use tidegate_store::test_database;
use tokio::task::JoinSet;

use test_config::test_config;

const GRACE: Duration = Duration::from_secs(3);
/// For a busy machine.
const MARGIN: Duration = Duration::from_secs(2);
/// A few seconds, which a device waits for the database, on a busy machine.
const DEVICE_WAIT: Duration = Duration::from_secs(8);
/// In which time a request fails that cannot connect, on a busy machine.
const REFUSAL: Duration = Duration::from_secs(3);

struct ServerOnPostgres {
    app: RunningApp,
    proxy: TcpProxy,
    _folder: TempDir,
}

impl ServerOnPostgres {
    /// None without a PostgreSQL server.
    async fn start(environment: Environment) -> Result<Option<Self>> {
        let url = test_database::create().await;
        let Some(url) = url.map_err(anyhow::Error::from_boxed)? else {
            return Ok(None);
        };
        let (before, name) = url.rsplit_once('/').context("the name of the database")?;
        let (scheme, target) = before.rsplit_once('@').context("the host")?;
        let proxy = TcpProxy::start(target).await?;
        let folder = tempfile::tempdir()?;
        let url = format!("{scheme}@{}/{name}", proxy.addr());
        let config = Config {
            shutdown_grace: ConfigDuration(GRACE),
            // Devices need no credentials.
            dev: true,
            ..test_config(folder.path(), Some(url))?
        };
        Ok(Some(Self {
            app: App::start(config, environment).await?,
            proxy,
            _folder: folder,
        }))
    }

    /// The status of the readiness probe, which answers in time, and its body.
    async fn readiness(&self) -> Result<(u16, String)> {
        let started = Instant::now();
        let response = reqwest::get(format!("http://{}/readyz", self.app.addr)).await?;
        let answer = (response.status().as_u16(), response.text().await?);
        ensure!(started.elapsed() < MARGIN, "{:?}", started.elapsed());
        Ok(answer)
    }

    /// The status of a request of an operator, and its body.
    async fn list_devices(&self) -> Result<(u16, String)> {
        let key = self.app.first_key.as_deref();
        let request = reqwest::Client::new()
            .get(format!("http://{}/api/v1/devices", self.app.addr))
            .header("x-api-key", key.context("the first start makes a key")?);
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// The status that a device is answered, which does not wait for long.
    async fn poll(&self) -> Result<u16> {
        get_as_device(self.app.addr, "edge-1").await
    }

    async fn reporting_clock(&self) -> Result<ReportingClock> {
        Ok(self.app.engine.store().reporting_clock().await?)
    }

    async fn wait_for_readiness(&self, status: u16) -> Result<()> {
        self.wait_for_probe(|found, _| found == status).await?;
        Ok(())
    }

    /// The body of the first answer of the readiness probe that is as expected.
    async fn wait_for_probe(&self, is_expected: impl Fn(u16, &str) -> bool) -> Result<String> {
        let started = Instant::now();
        loop {
            let (status, body) = self.readiness().await?;
            if is_expected(status, &body) {
                return Ok(body);
            }
            ensure!(
                started.elapsed() < Duration::from_mins(1),
                "{status}: {body}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The status of a request of a device, which does not wait for long. `path` begins with its id.
async fn get_as_device(addr: SocketAddr, path: &str) -> Result<u16> {
    let (status, elapsed) = timed_get(addr, &format!("/default/controller/v1/{path}")).await?;
    ensure!(elapsed < DEVICE_WAIT, "{path}: {status} after {elapsed:?}");
    Ok(status)
}

/// The status of a request, and the time until it is answered.
async fn timed_get(addr: SocketAddr, path: &str) -> Result<(u16, Duration)> {
    let started = Instant::now();
    let response = reqwest::get(format!("http://{addr}{path}")).await?;
    Ok((response.status().as_u16(), started.elapsed()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_survives_a_dead_network_and_stops_in_it() -> Result<()> {
    let Some(server) = ServerOnPostgres::start(Environment::default()).await? else {
        return Ok(());
    };
    server.wait_for_readiness(200).await?;
    for fail in [TcpProxy::refuse, TcpProxy::freeze] {
        fail(&server.proxy);
        server.wait_for_readiness(503).await?;
        assert_eq!(server.poll().await?, 429);
        server.proxy.restore();
        server.wait_for_readiness(200).await?;
    }
    server.proxy.freeze();
    let started = Instant::now();
    // What could not be written is an error; that it takes no longer is what counts.
    let _ = server.app.shutdown().await;
    let elapsed = started.elapsed();
    assert!(elapsed < GRACE + MARGIN, "{elapsed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_do_not_wait_for_a_silent_network() -> Result<()> {
    let Some(server) = ServerOnPostgres::start(Environment::default()).await? else {
        return Ok(());
    };
    let addr = server.app.addr;
    server.wait_for_readiness(200).await?;
    for device in 0..10 {
        assert_eq!(get_as_device(addr, &format!("idle-{device}")).await?, 200);
    }
    server.proxy.freeze();
    // The server finds out after 10 s that it receives nothing, and mistrusts its memory from then on.
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    let mut requests = JoinSet::new();
    // What the same requests cost on this machine when nothing waits for the database.
    let mut probes = JoinSet::new();
    for second in 0..15 {
        seconds.tick().await;
        for device in 0..10 {
            probes.spawn(async move { timed_get(addr, "/health").await });
            for (path, expected) in [
                (format!("idle-{device}"), 200),
                (format!("idle-{device}/confirmationBase"), 429),
                (format!("idle-{device}/deploymentBase/1"), 429),
                (format!("new-{second}-{device}"), 429),
            ] {
                requests.spawn(async move {
                    let path = format!("/default/controller/v1/{path}");
                    let answer = timed_get(addr, &path).await;
                    (second, path, expected, answer)
                });
            }
        }
    }
    let mut slowest_probe = Duration::ZERO;
    while let Some(probe) = probes.join_next().await {
        let (status, elapsed) = probe??;
        assert_eq!(status, 200);
        slowest_probe = slowest_probe.max(elapsed);
    }
    let allowed = DEVICE_WAIT + 2 * slowest_probe;
    while let Some(request) = requests.join_next().await {
        let (second, path, expected, answer) = request?;
        let (status, elapsed) = answer?;
        assert_eq!(status, expected, "{path} in second {second}");
        assert!(
            elapsed < allowed,
            "{path} in second {second}: {elapsed:?}, while probes took {slowest_probe:?}"
        );
    }
    let unready = server.wait_for_probe(|status, _| status == 503).await?;
    server.proxy.restore();
    server.wait_for_readiness(200).await?;
    // The registrations that were refused may still be written.
    let restored = Instant::now();
    while get_as_device(addr, "new-0-0").await? != 200 {
        ensure!(restored.elapsed() < Duration::from_mins(1), "{unready}");
    }
    server.app.shutdown().await
}

/// The database's own words may name hosts and tables.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_described_in_plain_words() -> Result<()> {
    let Some(server) = ServerOnPostgres::start(Environment::default()).await? else {
        return Ok(());
    };
    server.wait_for_readiness(200).await?;
    server.proxy.refuse();
    let unready = server.wait_for_probe(|status, _| status == 503).await?;
    let started = Instant::now();
    let (status, refused) = server.list_devices().await?;
    assert_eq!(status, 503, "{refused}");
    assert!(started.elapsed() < REFUSAL, "{:?}", started.elapsed());
    let started = Instant::now();
    assert_eq!(server.poll().await?, 429);
    assert!(started.elapsed() < REFUSAL, "{:?}", started.elapsed());
    for (body, words) in [
        (
            unready,
            &[
                "the database cannot be written: it is not available",
                "the database does not respond",
                "notifications of other servers are not received; devices are answered from the database",
            ][..],
        ),
        (refused, &["the database is not available now; retry later"]),
    ] {
        let body: serde_json::Value = serde_json::from_str(&body)?;
        let detail = body["detail"].as_str().unwrap_or_default();
        assert!(words.contains(&detail), "{body}");
    }
    // What could not be written is an error.
    let _ = server.app.shutdown().await;
    Ok(())
}

/// The clock stands still for reports of authenticated devices only: any client can send others.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_report_of_an_authenticated_device_stops_the_reporting_clock() -> Result<()> {
    let Some(server) = ServerOnPostgres::start(Environment::default()).await? else {
        return Ok(());
    };
    server.wait_for_readiness(200).await?;
    ensure!(server.poll().await? == 200);
    // The tenant `other` is not in memory: whether it accepts devices without credentials is not known.
    for (tenant, stops) in [("other", false), ("default", true)] {
        ensure!(server.reporting_clock().await?.runs_from.is_none());
        server.proxy.refuse();
        server.wait_for_readiness(503).await?;
        let url = format!(
            "http://{}/{tenant}/controller/v1/edge-1/configData",
            server.app.addr
        );
        let report = reqwest::Client::new()
            .put(url)
            .header("content-type", "application/json")
            .body(r#"{"mode": "merge", "data": {"site": "north"}}"#);
        ensure!(report.send().await?.status() == 429);
        server.proxy.restore();
        server.wait_for_readiness(200).await?;
        let restored = server.app.engine.now();
        let (started, mut clock) = (Instant::now(), server.reporting_clock().await?);
        while clock.beat_at.is_none_or(|beat| beat <= restored) {
            ensure!(started.elapsed() < Duration::from_mins(1));
            tokio::time::sleep(Duration::from_millis(100)).await;
            clock = server.reporting_clock().await?;
        }
        assert_eq!(clock.runs_from.is_some(), stops, "{tenant}");
    }
    // What could not be written is an error.
    let _ = server.app.shutdown().await;
    Ok(())
}

/// A clock that stands still, years ago, and claims to be real.
struct WrongClock;

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }

    fn is_wall_clock(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_by_the_time_of_its_database() -> Result<()> {
    let environment = Environment {
        clock: Arc::new(WrongClock),
        ..Environment::default()
    };
    let Some(server) = ServerOnPostgres::start(environment).await? else {
        return Ok(());
    };
    // It may first be unready because it does not listen to the database yet.
    let is_behind =
        |status, body: &str| status == 503 && body.contains("behind the one of the database");
    server.wait_for_probe(is_behind).await?;
    let time = server.app.engine.store().time().await?;
    let time = time.context("PostgreSQL has a clock")?;
    // The wrong clock stands still, so the server's time is the one of the last measurement.
    server.app.engine.synchronize_clock().await;
    let difference = server.app.engine.now().0 - time.0;
    assert!((0..60_000).contains(&difference), "{difference}");
    let metrics = reqwest::get(format!("http://{}/metrics", server.app.addr)).await?;
    let metrics = metrics.text().await?;
    let offset = metrics
        .lines()
        .find_map(|line| line.strip_prefix("tidegate_clock_offset_seconds "))
        .context("the metric")?;
    assert!(offset.parse::<f64>()? > 1000.0, "{offset}");
    server.app.shutdown().await
}
