//! The load generator: many connections, each with one request at a time, on one thread.

use std::{
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use tidegate_ddi_client::{
    ConfigData, Execution, Feedback, FeedbackBody, Finished, Resource, root_path,
};

use crate::{
    http1::{Connection, request},
    process::cpu_of,
    report::quantile,
};

/// Connections of every load.
pub(crate) const CONNECTIONS: usize = 64;

/// The measurements of a load.
#[derive(Debug, Default)]
pub(crate) struct LoadResult {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// Latency of each request in milliseconds.
    pub(crate) times: Vec<f64>,
    /// CPU seconds of the load generator.
    pub(crate) cpu: f64,
}

impl LoadResult {
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    pub(crate) fn p99(&self) -> f64 {
        quantile(self.times.iter().copied(), 0.99)
    }
}

/// Repeats a list of requests, each connection starting at another position.
pub(crate) async fn repeat(
    addr: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    time: Duration,
) -> Result<LoadResult> {
    let cpu = cpu_of("self")?;
    let began = Instant::now();
    let workers = (0..CONNECTIONS).map(|worker| {
        let requests = Arc::clone(requests);
        tokio::spawn(async move {
            let mut connection = Connection::open(addr).await?;
            let mut at = worker * requests.len() / CONNECTIONS;
            let mut times = Vec::with_capacity(1 << 16);
            let mut now = Instant::now();
            while now - began < time {
                connection
                    .exchange(&requests[at])
                    .await?
                    .expect_status(200)?;
                let after = Instant::now();
                times.push((after - now).as_secs_f64() * 1e3);
                now = after;
                at = (at + 1) % requests.len();
            }
            anyhow::Ok(times)
        })
    });
    let times = joined(workers).await?;
    let times: Vec<f64> = times.into_iter().flatten().collect();
    Ok(LoadResult {
        requests: times.len() as u64,
        seconds: began.elapsed().as_secs_f64(),
        times,
        cpu: cpu_of("self")? - cpu,
    })
}

/// Polls by devices from the whole fleet, until the time is up.
pub(crate) async fn poll_random(
    addr: SocketAddr,
    fields: &str,
    devices: usize,
    time: Duration,
) -> Result<LoadResult> {
    let until = Instant::now() + time;
    polls(addr, fields, CONNECTIONS, |number| {
        (Instant::now() < until).then(|| scatter(number, devices))
    })
    .await
}

/// Polls once by each device.
pub(crate) async fn poll_all(
    addr: SocketAddr,
    fields: &str,
    devices: usize,
    connections: usize,
) -> Result<LoadResult> {
    polls(addr, fields, connections, |number| {
        (number < devices).then(|| scatter(number, devices))
    })
    .await
}

/// Enumerates the devices in another order, each once.
fn scatter(number: usize, devices: usize) -> usize {
    // A prime that divides none of the measured numbers of devices.
    const STRIDE: usize = 7_368_787;
    number.wrapping_mul(STRIDE) % devices
}

/// Polls by the device that `which` returns for the next number, until it returns none.
async fn polls(
    addr: SocketAddr,
    fields: &str,
    connections: usize,
    which: impl Fn(usize) -> Option<usize>,
) -> Result<LoadResult> {
    let (cpu, began) = (cpu_of("self")?, Instant::now());
    let next = AtomicUsize::new(0);
    let workers = (0..connections).map(async |_| {
        let mut connection = Connection::open(addr).await?;
        let mut times = Vec::new();
        while let Some(device) = which(next.fetch_add(1, Ordering::Relaxed)) {
            let poll = request("GET", &device_path(device), addr, fields, b"");
            let before = Instant::now();
            connection.exchange(&poll).await?.expect_status(200)?;
            times.push(before.elapsed().as_secs_f64() * 1e3);
        }
        anyhow::Ok(times)
    });
    let times: Vec<f64> = try_join_all(workers).await?.into_iter().flatten().collect();
    Ok(LoadResult {
        requests: times.len() as u64,
        seconds: began.elapsed().as_secs_f64(),
        times,
        cpu: cpu_of("self")? - cpu,
    })
}

/// The measurements of whole updates, without downloads.
#[derive(Debug, Default)]
pub(crate) struct UpdateLoadResult {
    pub(crate) updates: u64,
    /// The feedback requests only.
    pub(crate) feedbacks: LoadResult,
}

/// Each device polls, reads its update and sends three feedbacks, until all devices have done so or the time is up.
pub(crate) async fn update(
    addr: SocketAddr,
    fields: &str,
    devices: Range<usize>,
    connections: usize,
    time: Duration,
) -> Result<UpdateLoadResult> {
    let next = Arc::new(AtomicUsize::new(devices.start));
    let fields: Arc<str> = fields.into();
    let feedback = Arc::new(feedback_bodies()?);
    let cpu = cpu_of("self")?;
    let began = Instant::now();
    let workers = (0..connections).map(|_| {
        let (next, fields) = (Arc::clone(&next), Arc::clone(&fields));
        let feedback = Arc::clone(&feedback);
        tokio::spawn(async move {
            let mut connection = Connection::open(addr).await?;
            let (mut updates, mut times) = (0_u64, Vec::new());
            while began.elapsed() < time {
                let device = next.fetch_add(1, Ordering::Relaxed);
                if device >= devices.end {
                    break;
                }
                run_update(
                    &mut connection,
                    addr,
                    &fields,
                    device,
                    &feedback,
                    &mut times,
                )
                .await?;
                updates += 1;
            }
            anyhow::Ok((updates, times))
        })
    });
    let done = joined(workers).await?;
    let seconds = began.elapsed().as_secs_f64();
    let updates = done.iter().map(|(updates, _)| updates).sum();
    let times: Vec<f64> = done.into_iter().flat_map(|(_, times)| times).collect();
    Ok(UpdateLoadResult {
        updates,
        feedbacks: LoadResult {
            requests: times.len() as u64,
            seconds,
            times,
            cpu: cpu_of("self")? - cpu,
        },
    })
}

async fn run_update(
    connection: &mut Connection,
    addr: SocketAddr,
    fields: &str,
    device: usize,
    feedback: &[Vec<u8>],
    times: &mut Vec<f64>,
) -> Result<()> {
    let poll = request("GET", &device_path(device), addr, fields, b"");
    let response = connection.exchange(&poll).await?;
    response.expect_status(200)?;
    let path = offered_path(str::from_utf8(response.body)?)
        .with_context(|| format!("device {device} is offered no update: {:?}", response.head))?
        .to_owned();
    let detect = request("GET", &path, addr, fields, b"");
    connection.exchange(&detect).await?.expect_status(200)?;
    let (path, _) = path.split_once('?').unwrap_or((&path, ""));
    let path = format!("{path}/feedback");
    for body in feedback {
        let log = request("POST", &path, addr, fields, body);
        let before = Instant::now();
        connection.exchange(&log).await?.expect_status(200)?;
        times.push(before.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

/// The bodies of the feedback on one update, in order.
fn feedback_bodies() -> Result<Vec<Vec<u8>>> {
    let body = |(execution, finished)| {
        let feedback = Feedback::new(execution, finished);
        Ok(serde_json::to_vec(&FeedbackBody::from(&feedback))?)
    };
    [
        (Execution::Download, Finished::None),
        (Execution::Proceeding, Finished::None),
        (Execution::Closed, Finished::Success),
    ]
    .map(body)
    .into_iter()
    .collect()
}

/// The path of the update that a poll offers. It is found in the text and not parsed, as this is part of the measured
/// load.
pub(crate) fn offered_path(poll: &str) -> Option<&str> {
    let (_, link) = poll.split_once(r#""deploymentBase":{"href":""#)?;
    let (href, _) = link.split_once('"')?;
    let (_, rest) = href.split_once("://")?;
    rest.find('/').map(|at| &rest[at..])
}

/// Registers devices with their attributes.
pub(crate) async fn register_devices(
    addr: SocketAddr,
    fields: impl Fn(usize) -> String + Send + Sync + 'static,
    devices: usize,
) -> Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let fields = Arc::new(fields);
    let attributes = ConfigData::merge([
        ("hw_model", "edge"),
        ("hw_revision", "1.0"),
        ("sw_version", "1.0.0"),
    ]);
    let attributes: Arc<[u8]> = serde_json::to_vec(&attributes)?.into();
    // More connections than the loads use: this is not measured, and a group commit takes all waiting requests.
    let workers = (0..4 * CONNECTIONS).map(|_| {
        let (next, fields) = (Arc::clone(&next), Arc::clone(&fields));
        let attributes = Arc::clone(&attributes);
        tokio::spawn(async move {
            let mut connection = Connection::open(addr).await?;
            loop {
                let device = next.fetch_add(1, Ordering::Relaxed);
                if device >= devices {
                    return anyhow::Ok(());
                }
                let (path, fields) = (device_path(device), fields(device));
                let poll = request("GET", &path, addr, &fields, b"");
                connection.exchange(&poll).await?.expect_status(200)?;
                let path = format!("{path}/{}", Resource::ConfigData);
                let report = request("PUT", &path, addr, &fields, &attributes);
                connection.exchange(&report).await?.expect_status(200)?;
            }
        })
    });
    joined(workers).await.map(drop)
}

/// The path of a device's root resource.
pub(crate) fn device_path(device: usize) -> String {
    root_path("DEFAULT", &format!("edge-device-{device:06}"))
}

async fn joined<T>(
    workers: impl Iterator<Item = tokio::task::JoinHandle<Result<T>>>,
) -> Result<Vec<T>> {
    try_join_all(workers).await?.into_iter().collect()
}
