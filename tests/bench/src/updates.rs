//! Whole updates: a poll, deploymentBase, and three feedbacks.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::{
    Bench,
    baseline::{self, CannedResponse, CannedResponses},
    database::DatabaseKind,
    disk,
    http1::{Connection, request},
    load::{self, CONNECTIONS},
    report::Figure,
    tidegate::Tidegate,
};

pub(crate) async fn measure(bench: &Bench, kind: DatabaseKind) -> Result<Vec<Figure>> {
    let devices = bench.size(10_000, 2_000);
    let name = format!("updates_{}", kind.name().to_lowercase());
    let database = match kind {
        DatabaseKind::Sqlite => None,
        DatabaseKind::Postgres => Some(bench.postgres(&format!("bench_{name}")).await?),
    };
    let server = Tidegate::start(bench, &name, database.as_deref())?;
    load::register_devices(server.addr(), server.gateway_header(), devices).await?;
    let campaign = roll_out(&server).await?;
    all_offered(&server, campaign, devices).await?;

    let answers = canned(&server).await?;
    let baseline = baseline::start(&server.data_dir, &answers)?;
    let time = bench.time(8.0, 2.0);
    let noop = load::update(baseline.addr, &server.gateway, usize::MAX, time).await?;
    drop(baseline);
    let sync_rate = disk::sync_rate(&bench.work, bench.time(3.0, 1.0))?;
    let before = server.process.cpu()?;
    let done = load::update(
        server.addr(),
        &server.gateway,
        devices,
        bench.time(60.0, 20.0),
    )
    .await?;
    let cpu = server.process.cpu()? - before;

    let what = format!(
        "updates on {}, {devices} devices, {CONNECTIONS} connections",
        kind.name()
    );
    let feedbacks = &done.feedbacks;
    let figure = Figure::new(
        format!("{what}: durable feedbacks"),
        feedbacks.rate(),
        "feedbacks/s",
    )
    .compared_to(
        "bare axum, nothing stored",
        noop.feedbacks.rate(),
        "feedbacks/s",
    )
    .compared_to(
        "the disk: 4 KiB and fdatasync",
        sync_rate.per_second,
        "syncs/s",
    )
    .at_least(2000.0)
    .note(format!(
        "{} updates in {:.1} s; the generator's CPU time {:.0} µs/feedback",
        done.updates,
        feedbacks.seconds,
        feedbacks.cpu * 1e6 / feedbacks.requests as f64,
    ));
    let updates = done.updates as f64 / feedbacks.seconds;
    let bare_updates = noop.updates as f64 / noop.feedbacks.seconds;
    Ok(vec![
        figure,
        Figure::new(format!("{what}: whole updates"), updates, "updates/s").compared_to(
            "bare axum",
            bare_updates,
            "updates/s",
        ),
        Figure::new(format!("{what}: a feedback's p99"), feedbacks.p99(), "ms")
            .compared_to("bare axum", noop.feedbacks.p99(), "ms")
            .compared_to("one fdatasync", sync_rate.median_ms, "ms"),
        Figure::new(
            format!("{what}: the server's CPU time, polls and descriptions included"),
            cpu * 1e6 / feedbacks.requests as f64,
            "µs/feedback",
        ),
    ])
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
