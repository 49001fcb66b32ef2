//! Whole updates: a poll, deploymentBase, and three feedbacks.

use std::{ops::Range, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::{
    Bench,
    baseline::{self, CannedResponse, CannedResponses},
    database::{self, DatabaseKind},
    disk,
    http1::{Connection, request},
    last_seen,
    load::{self, CONNECTIONS, UpdateLoadResult},
    process::Process,
    report::Figure,
    tidegate::Tidegate,
};

/// Connections of the second load: group commits are larger then.
const MANY_CONNECTIONS: usize = 512;

/// The floors of a database system.
struct Floors {
    feedbacks_per_second: f64,
    /// Microseconds of the server's CPU time for each feedback.
    cost: f64,
    /// The same, as a multiple of bare axum's.
    cost_ratio: f64,
}

impl Floors {
    fn of(kind: DatabaseKind) -> Self {
        match kind {
            DatabaseKind::Sqlite => Self {
                feedbacks_per_second: 8000.0,
                cost: 150.0,
                cost_ratio: 6.0,
            },
            DatabaseKind::Postgres => Self {
                feedbacks_per_second: 6000.0,
                cost: 110.0,
                cost_ratio: 4.0,
            },
        }
    }
}

pub(crate) async fn measure(bench: &Bench, kind: DatabaseKind) -> Result<Vec<Figure>> {
    let devices = bench.size(10_000, 2_000);
    let name = format!("updates_{}", kind.name().to_lowercase());
    let database = match kind {
        DatabaseKind::Sqlite => None,
        DatabaseKind::Postgres => Some(bench.postgres(&format!("bench_{name}")).await?),
    };
    let server = Tidegate::start(bench, &name, database.as_deref())?;
    load::register_devices(server.addr(), server.gateway_header(), 2 * devices).await?;
    let campaign = roll_out(&server).await?;
    all_offered(&server, campaign, 2 * devices).await?;

    let answers = canned(&server).await?;
    let baseline = baseline::start(&server.data_dir, &answers)?;
    let sync = disk::sync_time(&bench.work, bench.time(3.0, 1.0))?;
    let bare_rows =
        database::bare_inserts(&server.database_url(), CONNECTIONS, bench.time(3.0, 1.0)).await?;
    let mut figures = Vec::new();
    for (connections, devices) in [
        (CONNECTIONS, 0..devices),
        (MANY_CONNECTIONS, devices..2 * devices),
    ] {
        let all = 0..usize::MAX;
        let time = bench.time(8.0, 2.0);
        let theirs = measured(&baseline, &server.gateway, all, connections, time).await?;
        let time = bench.time(60.0, 20.0);
        let ours = measured(&server.process, &server.gateway, devices, connections, time).await?;
        let what = format!("updates on {}, {connections} connections", kind.name());
        figures.extend(figures_of(
            &what,
            &Floors::of(kind),
            &ours,
            &theirs,
            bare_rows,
        ));
        if connections == CONNECTIONS {
            figures.push(
                Figure::new(
                    format!("{what}: a feedback's p99"),
                    ours.load.feedbacks.p99(),
                    "ms",
                )
                .compared_to("one fdatasync", sync, "ms")
                .compared_to("bare axum", theirs.load.feedbacks.p99(), "ms")
                .ratio_at_most(5.0),
            );
        }
    }
    let load = format!("updates on {}", kind.name());
    figures.extend(last_seen::slowest_write(&server, &load).await?);
    Ok(figures)
}

/// A load of updates and what it cost the server.
struct MeasuredLoad {
    load: UpdateLoadResult,
    /// CPU seconds of the server.
    cpu: f64,
}

impl MeasuredLoad {
    /// The server's CPU time in microseconds, polls and descriptions included.
    fn cost_of_feedback(&self) -> f64 {
        self.cpu * 1e6 / self.load.feedbacks.requests as f64
    }

    fn updates_per_second(&self) -> f64 {
        self.load.updates as f64 / self.load.feedbacks.seconds
    }
}

async fn measured(
    server: &Process,
    fields: &str,
    devices: Range<usize>,
    connections: usize,
    time: Duration,
) -> Result<MeasuredLoad> {
    let before = server.cpu()?;
    let load = load::update(server.addr, fields, devices, connections, time).await?;
    let cpu = server.cpu()? - before;
    Ok(MeasuredLoad { load, cpu })
}

fn figures_of(
    what: &str,
    floors: &Floors,
    ours: &MeasuredLoad,
    theirs: &MeasuredLoad,
    bare_rows: f64,
) -> [Figure; 3] {
    let feedbacks = &ours.load.feedbacks;
    [
        Figure::new(
            format!("{what}: durable feedbacks"),
            feedbacks.rate(),
            "feedbacks/s",
        )
        .compared_to(
            "bare axum, nothing stored",
            theirs.load.feedbacks.rate(),
            "feedbacks/s",
        )
        .compared_to(
            format!("rows of bare inserts, {CONNECTIONS} in each commit"),
            bare_rows,
            "rows/s",
        )
        .at_least(floors.feedbacks_per_second)
        .note(format!(
            "{} updates in {:.1} s; the generator's CPU time {:.0} µs/feedback",
            ours.load.updates,
            feedbacks.seconds,
            feedbacks.cpu * 1e6 / feedbacks.requests as f64,
        )),
        Figure::new(
            format!("{what}: whole updates"),
            ours.updates_per_second(),
            "updates/s",
        )
        .compared_to("bare axum", theirs.updates_per_second(), "updates/s"),
        Figure::new(
            format!("{what}: the server's CPU time, polls and descriptions included"),
            ours.cost_of_feedback(),
            "µs/feedback",
        )
        .compared_to("bare axum", theirs.cost_of_feedback(), "µs/feedback")
        .at_most(floors.cost)
        .ratio_at_most(floors.cost_ratio),
    ]
}

/// Rolls a firmware out to all devices at once. Returns the campaign.
async fn roll_out(server: &Tidegate) -> Result<i64> {
    let firmware = server.upload("2.0.0", &[7; 1024], 1).await?;
    let draft = json!({
        "name": "all devices", "firmware_id": firmware, "target_filter": "hw_model==edge",
        "strategy": { "plugin": "immediate", "config": {} },
    });
    let made = server.rest("POST", "campaigns", &draft).await?;
    let campaign = made["campaign_id"].as_i64().context("no campaign_id")?;
    let path = format!("campaigns/{campaign}/start");
    server.rest("POST", &path, &json!({})).await?;
    Ok(campaign)
}

async fn all_offered(server: &Tidegate, campaign: i64, devices: usize) -> Result<()> {
    let path = format!("campaigns/{campaign}");
    for _ in 0..600 {
        let shown = server.rest("GET", &path, &Value::Null).await?;
        if shown["status"] != "in_progress" {
            bail!("the campaign is not in progress: {shown}");
        }
        if shown["in_progress_devices"] == devices {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    bail!("not every device was offered the firmware within a minute")
}

/// Records the responses to a device with an update.
async fn canned(server: &Tidegate) -> Result<CannedResponses> {
    let mut connection = Connection::open(server.addr()).await?;
    let addr = server.addr();
    let poll = request("GET", &load::device_path(0), addr, &server.gateway, b"");
    let response = connection.exchange(&poll).await?;
    let poll = CannedResponse::of(&response);
    let path =
        load::offered_path(str::from_utf8(response.body)?).context("no update is offered")?;
    let detect = request("GET", path, addr, &server.gateway, b"");
    let deployment = CannedResponse::of(&connection.exchange(&detect).await?);
    Ok(CannedResponses { poll, deployment })
}
