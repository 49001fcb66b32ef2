//! Polls of devices without an update.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate_ddi_client::Credentials;

use crate::{
    Bench,
    baseline::{self, CannedResponse, CannedResponses},
    http1::{Connection, request},
    load::{self, CONNECTIONS, LoadResult},
    process::Process,
    report::{Figure, median},
    tidegate::{Tidegate, authorization},
};

pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let devices = bench.size(10_000, 2_000);
    let server = Tidegate::start(bench, "poll", None)?;
    let believed = json!({ "access": { "trust_on_first_use": true } });
    server.rest("PATCH", "settings", &believed).await?;
    load::register_devices(server.addr(), device_header, devices).await?;
    let baseline = start_baseline(bench, &server).await?;
    let requests = |addr, fields: &dyn Fn(usize) -> String| {
        let one = |device| {
            request(
                "GET",
                &load::device_path(device),
                addr,
                &fields(device),
                b"",
            )
        };
        Arc::new((0..devices).map(one).collect::<Vec<_>>())
    };
    let own = LoadTarget::new(&server.process, requests(server.addr(), &device_header));
    let gateway = requests(server.addr(), &server.gateway_header());
    let gateway = LoadTarget::new(&server.process, gateway);
    let theirs = LoadTarget::new(&baseline, requests(baseline.addr, &device_header));
    let time = bench.time(6.0, 1.5);
    let (mut at_own, mut at_gateway, mut at_bare) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=bench.size(5, 2) {
        let (baseline, own) = (theirs.round(time).await?, own.round(time).await?);
        let gateway = gateway.round(time).await?;
        // The first round is a warm-up.
        if round > 0 {
            at_bare.push(baseline);
            at_own.push(own);
            at_gateway.push(gateway);
        }
    }
    let mut all = figures(devices, "each its own token", &at_own, &at_bare);
    all.extend(figures(devices, "a gateway's token", &at_gateway, &at_bare));
    Ok(all)
}

/// The header line of a device with a token of its own.
fn device_header(device: usize) -> String {
    authorization(&Credentials::Target(format!(
        "4f6c1b0a9d8e7f605142{device:012}"
    )))
}

fn figures(
    devices: usize,
    shown: &str,
    ours: &[RoundResult],
    baseline: &[RoundResult],
) -> Vec<Figure> {
    let rate = |rounds: &[RoundResult]| median(rounds.iter().map(|round| round.load.rate()));
    let p99 = |rounds: &[RoundResult]| median(rounds.iter().map(|round| round.load.p99()));
    let cost = |rounds: &[RoundResult]| median(rounds.iter().map(RoundResult::microseconds));
    let generator = |rounds: &[RoundResult]| {
        median(
            rounds
                .iter()
                .map(|round| round.load.cpu / round.load.seconds),
        )
    };
    let what = format!("poll, {devices} devices, {shown}, {CONNECTIONS} connections");
    let shared = format!(
        "the generator, one thread, took {:.2} of a core against the server and {:.2} against bare axum, of the same \
         {} cores, which it shares with the server",
        generator(ours),
        generator(baseline),
        crate::machine::cores(),
    );
    vec![
        Figure::new(what.clone(), rate(ours), "requests/s")
            .compared_to("bare axum, same bytes", rate(baseline), "requests/s")
            .ratio_at_least(0.75)
            .note(shared),
        Figure::new(format!("{what}: p99"), p99(ours), "ms")
            .compared_to("bare axum", p99(baseline), "ms")
            .below(10.0),
        Figure::new(
            format!("{what}: the server's CPU time"),
            cost(ours),
            "µs/request",
        )
        .compared_to("bare axum", cost(baseline), "µs/request")
        .ratio_at_most(2.0),
    ]
}

/// A server and the requests that it gets.
struct LoadTarget<'a> {
    process: &'a Process,
    requests: Arc<Vec<Vec<u8>>>,
}

struct RoundResult {
    load: LoadResult,
    /// CPU seconds of the server.
    cpu: f64,
}

impl<'a> LoadTarget<'a> {
    fn new(process: &'a Process, requests: Arc<Vec<Vec<u8>>>) -> Self {
        Self { process, requests }
    }

    async fn round(&self, time: Duration) -> Result<RoundResult> {
        let before = self.process.cpu()?;
        let load = load::repeat(self.process.addr, &self.requests, time).await?;
        let cpu = self.process.cpu()? - before;
        Ok(RoundResult { load, cpu })
    }
}

impl RoundResult {
    fn microseconds(&self) -> f64 {
        self.cpu * 1e6 / self.load.requests as f64
    }
}

/// Starts the baseline server, with the server's response to a poll.
async fn start_baseline(bench: &Bench, server: &Tidegate) -> Result<Process> {
    let poll = request(
        "GET",
        &load::device_path(0),
        server.addr(),
        &server.gateway,
        b"",
    );
    let mut connection = Connection::open(server.addr()).await?;
    let response = connection.exchange(&poll).await?;
    response.expect_status(200)?;
    let body = str::from_utf8(response.body)?;
    ensure!(
        !body.contains("_links"),
        "the poll offers something: {body}"
    );
    let canned = CannedResponse::of(&response);
    let answers = CannedResponses {
        poll: canned.clone(),
        deployment: canned,
    };
    let ours = (response.head.len(), response.body.to_vec());
    let process = baseline::start(&bench.work.join("poll"), &answers)?;
    let mut connection = Connection::open(process.addr).await?;
    let response = connection.exchange(&poll).await?;
    let same = (response.head.len(), response.body.to_vec()) == ours;
    ensure!(same, "bare axum sends another response: {}", response.head);
    Ok(process)
}

impl Bench {
    /// A size, smaller with `--quick`.
    pub(crate) fn size(&self, whole: usize, quick: usize) -> usize {
        if self.quick { quick } else { whole }
    }

    /// A duration, shorter with `--quick`.
    pub(crate) fn time(&self, whole: f64, quick: f64) -> Duration {
        Duration::from_secs_f64(if self.quick { quick } else { whole })
    }

    /// Creates a PostgreSQL database. Returns its URL.
    pub(crate) async fn postgres(&self, name: &str) -> Result<String> {
        let server = self.postgres.as_deref().context("--postgres is needed")?;
        crate::database::create_database(server, name).await
    }
}
