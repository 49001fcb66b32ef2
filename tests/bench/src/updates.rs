//! Whole updates: poll, deploymentBase, three feedbacks.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::{
    Bench,
    bare::{self, Answers, Canned},
    database::Kind,
    disk,
    drive::{self, CONNECTIONS},
    http1::{Connection, request},
    report::Figure,
    tidegate::Tidegate,
};

pub(crate) async fn measure(bench: &Bench, kind: Kind) -> Result<Vec<Figure>> {
    let devices = bench.size(10_000, 2_000);
    let name = format!("updates_{}", kind.name().to_lowercase());
    let database = match kind {
        Kind::Sqlite => None,
        Kind::Postgres => Some(bench.postgres(&format!("bench_{name}")).await?),
    };
    let server = Tidegate::start(bench, &name, database.as_deref())?;
    drive::introduce(server.addr(), server.by_gateway(), devices).await?;
    let campaign = roll_out(&server).await?;
    all_offered(&server, campaign, devices).await?;

    let answers = canned(&server).await?;
    let bare = bare::start(&server.data_dir, &answers)?;
    let time = bench.time(8.0, 2.0);
    let noop = drive::update(bare.addr, &server.gateway, usize::MAX, time).await?;
    drop(bare);
    let syncs = disk::syncs(&bench.work, bench.time(3.0, 1.0))?;
    let before = server.process.cpu()?;
    let done = drive::update(
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
    .beside(
        "bare axum, nothing stored",
        noop.feedbacks.rate(),
        "feedbacks/s",
    )
    .beside("the disk: 4 KiB and fdatasync", syncs.per_second, "syncs/s")
    .at_least(2000.0)
    .note(format!(
        "{} updates in {:.1} s; the server's processor time {:.0} µs/feedback (polls and descriptions included), the \
         generator's {:.0} µs",
        done.updates,
        feedbacks.seconds,
        cpu * 1e6 / feedbacks.requests as f64,
        feedbacks.cpu * 1e6 / feedbacks.requests as f64,
    ));
    let updates = done.updates as f64 / feedbacks.seconds;
    let bare_updates = noop.updates as f64 / noop.feedbacks.seconds;
    Ok(vec![
        figure,
        Figure::new(format!("{what}: whole updates"), updates, "updates/s").beside(
            "bare axum",
            bare_updates,
            "updates/s",
        ),
        Figure::new(format!("{what}: a feedback's p99"), feedbacks.p99(), "ms")
            .beside("bare axum", noop.feedbacks.p99(), "ms")
            .beside("one fdatasync", syncs.median_ms, "ms"),
    ])
}

/// A firmware for every device at once; answers the campaign.
async fn roll_out(server: &Tidegate) -> Result<i64> {
    let firmware = server.upload("2.0.0", &[7; 1024], 1).await?;
    let draft = json!({
        "name": "everybody", "firmware_id": firmware, "target_filter": "hw_model==edge",
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
            bail!("the campaign does not go on: {shown}");
        }
        if shown["in_progress_devices"] == devices {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    bail!("not every device was offered the firmware within a minute")
}

/// What a device is answered that has something to do.
async fn canned(server: &Tidegate) -> Result<Answers> {
    let mut connection = Connection::open(server.addr()).await?;
    let addr = server.addr();
    let poll = request("GET", &drive::path_of(0), addr, &server.gateway, b"");
    let answer = connection.exchange(&poll).await?;
    let poll = Canned::of(&answer);
    let path = drive::offered(str::from_utf8(answer.body)?).context("nothing is offered")?;
    let look = request("GET", path, addr, &server.gateway, b"");
    let deployment = Canned::of(&connection.exchange(&look).await?);
    Ok(Answers { poll, deployment })
}
