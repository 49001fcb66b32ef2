//! Polls with nothing to do.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::{
    Bench,
    bare::{self, Answers, Canned},
    drive::{self, CONNECTIONS, Load},
    http1::{Connection, request},
    process::Process,
    report::{Figure, median},
    tidegate::Tidegate,
};

pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let devices = bench.size(10_000, 2_000);
    let server = Tidegate::start(bench, "poll", None)?;
    let believed = json!({ "access": { "trust_on_first_use": true } });
    server.rest("PATCH", "settings", &believed).await?;
    drive::introduce(server.addr(), own_token, devices).await?;
    let bare = bare_of(bench, &server).await?;
    let requests = |addr, fields: &dyn Fn(usize) -> String| {
        let one = |device| request("GET", &drive::path_of(device), addr, &fields(device), b"");
        Arc::new((0..devices).map(one).collect::<Vec<_>>())
    };
    let own = Side::new(&server.process, requests(server.addr(), &own_token));
    let gateway = requests(server.addr(), &server.by_gateway());
    let gateway = Side::new(&server.process, gateway);
    let theirs = Side::new(&bare, requests(bare.addr, &own_token));
    let time = bench.time(6.0, 1.5);
    let (mut at_own, mut at_gateway, mut at_bare) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=bench.size(5, 2) {
        let (bare, own) = (theirs.round(time).await?, own.round(time).await?);
        let gateway = gateway.round(time).await?;
        // The first is for warming up.
        if round > 0 {
            at_bare.push(bare);
            at_own.push(own);
            at_gateway.push(gateway);
        }
    }
    let mut all = figures(devices, "each its own token", &at_own, &at_bare);
    all.extend(figures(devices, "a gateway's token", &at_gateway, &at_bare));
    Ok(all)
}

/// The header line of a device that shows a token of its own.
fn own_token(device: usize) -> String {
    format!("authorization: TargetToken 4f6c1b0a9d8e7f605142{device:012}\r\n")
}

fn figures(devices: usize, shown: &str, ours: &[Round], bare: &[Round]) -> Vec<Figure> {
    let rate = |rounds: &[Round]| median(rounds.iter().map(|round| round.load.rate()));
    let p99 = |rounds: &[Round]| median(rounds.iter().map(|round| round.load.p99()));
    let cost = |rounds: &[Round]| median(rounds.iter().map(Round::microseconds));
    let generator = |rounds: &[Round]| {
        median(
            rounds
                .iter()
                .map(|round| round.load.cpu / round.load.seconds),
        )
    };
    let what = format!("poll, {devices} devices, {shown}, {CONNECTIONS} connections");
    let shared = format!(
        "the generator, one thread, took {:.2} of a core against the server and {:.2} against bare axum, of the same \
         {} cores: both share them with whoever answers",
        generator(ours),
        generator(bare),
        crate::machine::cores(),
    );
    vec![
        Figure::new(what.clone(), rate(ours), "requests/s")
            .beside("bare axum, same bytes", rate(bare), "requests/s")
            .ratio_at_least(0.5)
            .note(shared),
        Figure::new(format!("{what}: p99"), p99(ours), "ms")
            .beside("bare axum", p99(bare), "ms")
            .below(10.0),
        Figure::new(
            format!("{what}: the server's processor time"),
            cost(ours),
            "µs/request",
        )
        .beside("bare axum", cost(bare), "µs/request"),
    ]
}

/// A server and what it is asked.
struct Side<'a> {
    process: &'a Process,
    requests: Arc<Vec<Vec<u8>>>,
}

struct Round {
    load: Load,
    /// Processor seconds of the server.
    cpu: f64,
}

impl<'a> Side<'a> {
    fn new(process: &'a Process, requests: Arc<Vec<Vec<u8>>>) -> Self {
        Self { process, requests }
    }

    async fn round(&self, time: Duration) -> Result<Round> {
        let before = self.process.cpu()?;
        let load = drive::repeat(self.process.addr, &self.requests, time).await?;
        let cpu = self.process.cpu()? - before;
        Ok(Round { load, cpu })
    }
}

impl Round {
    fn microseconds(&self) -> f64 {
        self.cpu * 1e6 / self.load.requests as f64
    }
}

/// Bare axum that answers what the server answers to a poll.
async fn bare_of(bench: &Bench, server: &Tidegate) -> Result<Process> {
    let poll = request(
        "GET",
        &drive::path_of(0),
        server.addr(),
        &server.gateway,
        b"",
    );
    let mut connection = Connection::open(server.addr()).await?;
    let answer = connection.exchange(&poll).await?;
    answer.is(200)?;
    let body = str::from_utf8(answer.body)?;
    ensure!(!body.contains("_links"), "there is something to do: {body}");
    let canned = Canned::of(&answer);
    let answers = Answers {
        poll: canned.clone(),
        deployment: canned,
    };
    let ours = (answer.head.len(), answer.body.to_vec());
    let process = bare::start(&bench.work.join("poll"), &answers)?;
    let mut connection = Connection::open(process.addr).await?;
    let answer = connection.exchange(&poll).await?;
    let same = (answer.head.len(), answer.body.to_vec()) == ours;
    ensure!(same, "bare axum answers something else: {}", answer.head);
    Ok(process)
}

impl Bench {
    /// A number of things, or fewer when it has to be quick.
    pub(crate) fn size(&self, whole: usize, quick: usize) -> usize {
        if self.quick { quick } else { whole }
    }

    /// Seconds, or fewer when it has to be quick.
    pub(crate) fn time(&self, whole: f64, quick: f64) -> Duration {
        Duration::from_secs_f64(if self.quick { quick } else { whole })
    }

    /// The address of a new PostgreSQL database.
    pub(crate) async fn postgres(&self, name: &str) -> Result<String> {
        let server = self.postgres.as_deref().context("--postgres is needed")?;
        crate::database::fresh(server, name).await
    }
}
