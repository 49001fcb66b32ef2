//! A large fleet: polls, memory and a restart; and many unknown devices at the same time.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{
    Bench,
    database::{self, DatabaseKind},
    http1::{Connection, request},
    last_seen,
    load::{self, CONNECTIONS, LoadResult},
    process::resident_memory,
    report::{Figure, median},
    tidegate::Tidegate,
};

/// Connections for unknown devices; more than usual, because each would open a new one.
const STORM_CONNECTIONS: usize = 256;

pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let (many, few) = (bench.size(1_000_000, 50_000), bench.size(10_000, 2_000));
    let large = FleetServer::of(bench, "fleet_large", many).await?;
    let small = FleetServer::of(bench, "fleet_small", few).await?;
    // Every device polls once, so that later polls are answered from memory.
    let first = large.poll_all_once().await?;
    small.poll_all_once().await?;
    let time = bench.time(6.0, 1.5);
    let (mut at_large, mut at_small) = (Vec::new(), Vec::new());
    for round in 0..=bench.size(5, 2) {
        let (small, large) = (small.poll_for(time).await?, large.poll_for(time).await?);
        // The first round is a warm-up.
        if round > 0 {
            at_small.push(small.rate());
            at_large.push(large.rate());
        }
    }
    let (resident_memory, most) = resident_memory(large.server.process.id())?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Ok(vec![
        Figure::new(
            format!("poll, {many} devices, {CONNECTIONS} connections"),
            median(at_large),
            "requests/s",
        )
        .compared_to(format!("{few} devices"), median(at_small), "requests/s")
        .ratio_at_least(0.8),
        Figure::new(
            format!("{many} devices: the first poll of each after a restart"),
            first.rate(),
            "requests/s",
        )
        .at_least(20_000.0),
        Figure::new(
            format!("{many} devices, all in memory: resident memory of the server"),
            mib(resident_memory),
            "MiB",
        )
        .note(format!("{:.0} MiB at its peak", mib(most)))
        .at_most(500.0),
        Figure::new(
            format!(
                "{many} devices: from the restart after a crash to the first response to a poll"
            ),
            large.restart_seconds,
            "s",
        )
        .below(5.0),
    ])
}

/// Many unknown devices poll at the same time.
pub(crate) async fn storm(bench: &Bench, kind: DatabaseKind) -> Result<Vec<Figure>> {
    let devices = bench.size(100_000, 5_000);
    let name = format!("storm_{}", kind.name().to_lowercase());
    let database = match kind {
        DatabaseKind::Sqlite => None,
        DatabaseKind::Postgres => Some(bench.postgres(&format!("bench_{name}")).await?),
    };
    let server = Tidegate::start(bench, &name, database.as_deref())?;
    let before = server.process.cpu()?;
    let load = load::poll_all(server.addr(), &server.gateway, devices, STORM_CONNECTIONS).await?;
    let cpu = server.process.cpu()? - before;
    let listed = server.rest("GET", "devices?limit=1", &Value::Null).await?;
    ensure!(
        listed["total"] == devices,
        "a device was not registered exactly once: {listed}"
    );
    let what = format!(
        "{devices} unknown devices, {}, {STORM_CONNECTIONS} connections",
        kind.name()
    );
    let cost = Figure::new(
        format!("{what}: the server's CPU time"),
        cpu * 1e6 / load.requests as f64,
        "µs/device",
    );
    let mut figures = vec![
        Figure::new(format!("{what}: registrations"), load.rate(), "devices/s")
            .note(format!("p99 {:.0} ms", load.p99()))
            .at_least(3000.0),
        match kind {
            DatabaseKind::Sqlite => cost.at_most(110.0),
            DatabaseKind::Postgres => cost,
        },
    ];
    figures.extend(last_seen::slowest_write(&server, &what).await?);
    Ok(figures)
}

/// A server with many devices, restarted after a crash.
struct FleetServer {
    server: Tidegate,
    devices: usize,
    /// Seconds from the start to the first response.
    restart_seconds: f64,
}

impl FleetServer {
    async fn of(bench: &Bench, name: &str, devices: usize) -> Result<Self> {
        let mut server = Tidegate::start(bench, name, None)?;
        load::register_devices(server.addr(), server.gateway_header(), 1).await?;
        let mut began = Instant::now();
        let multiplied = async |url: &str| {
            database::copy_device(url, devices).await?;
            began = Instant::now();
            Ok(())
        };
        server.restart(bench, multiplied).await?;
        let poll = request(
            "GET",
            &load::device_path(devices - 1),
            server.addr(),
            &server.gateway,
            b"",
        );
        Connection::open(server.addr())
            .await?
            .exchange(&poll)
            .await?
            .expect_status(200)?;
        Ok(Self {
            restart_seconds: began.elapsed().as_secs_f64(),
            server,
            devices,
        })
    }

    async fn poll_all_once(&self) -> Result<LoadResult> {
        load::poll_all(
            self.server.addr(),
            &self.server.gateway,
            self.devices,
            CONNECTIONS,
        )
        .await
    }

    async fn poll_for(&self, time: std::time::Duration) -> Result<LoadResult> {
        load::poll_random(self.server.addr(), &self.server.gateway, self.devices, time).await
    }
}
