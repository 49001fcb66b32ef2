//! Polls while plugins that do harm keep the server busy: strategies that are expensive, each in its way, decide, and bombs
//! are compiled.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tidegate_hostile::{BusyStrategy, compile_bomb};
use tokio::task::JoinHandle;

use crate::{
    Bench,
    http1::request,
    load::{self, LoadResult},
    report::{Figure, median},
    tidegate::{PluginUpload, Tidegate},
};

const CAMPAIGNS: usize = 20;
const BOMBS: u32 = 3;

pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let devices = bench.size(10_000, 2_000);
    let server = Arc::new(Tidegate::start(bench, "busy", None)?);
    // The campaigns have devices of their own, so that all polls are idle.
    let all = devices + CAMPAIGNS * BusyStrategy::DEVICES;
    load::register_devices(server.addr(), server.gateway_header(), all).await?;
    let poll = |device| {
        let path = load::device_path(device);
        request("GET", &path, server.addr(), &server.gateway, b"")
    };
    let polls = Arc::new((0..devices).map(poll).collect::<Vec<_>>());
    let time = bench.time(5.0, 1.5);
    let round = async || load::repeat(server.addr(), &polls, time).await;

    // The first round is a warm-up.
    round().await?;
    let mut quiet = Vec::new();
    for _ in 0..bench.size(4, 2) {
        quiet.push(round().await?);
    }
    let campaigns = start_campaigns(&server, devices).await?;
    let before = decisions(&server, &campaigns).await?;
    let bombs = upload_bombs(&server)?;
    let mut busy = Vec::new();
    for _ in 0..bench.size(4, 2) {
        busy.push(round().await?);
    }
    ensure!(
        bombs.iter().any(|bomb| !bomb.is_finished()),
        "the bombs were compiled before the end"
    );
    let after = decisions(&server, &campaigns).await?;
    let decided: Vec<_> = before
        .iter()
        .zip(after)
        .map(|(before, after)| after - before)
        .collect();
    ensure!(
        bench.quick || !decided.contains(&0),
        "a campaign decided nothing meanwhile: {decided:?}"
    );
    let decided: u64 = decided.into_iter().sum();
    ensure!(decided > 0, "no campaign decided");
    let p99 = |rounds: &[LoadResult]| median(rounds.iter().map(LoadResult::p99));
    let rate = |rounds: &[LoadResult]| median(rounds.iter().map(LoadResult::rate));
    Ok(vec![
        Figure::new(
            format!("poll, {devices} devices, while {CAMPAIGNS} campaigns of expensive strategies decide and {BOMBS} bombs compile: p99"),
            p99(&busy),
            "ms",
        )
        .compared_to("quiet", p99(&quiet), "ms")
        .ratio_at_most(2.0)
        .note(format!(
            "{decided} decisions of {} strategies; {:.0} polls/s, quiet {:.0}",
            BusyStrategy::KINDS,
            rate(&busy),
            rate(&quiet),
        )),
    ])
}

/// Starts campaigns of all strategies in turn, on devices that do not poll.
async fn start_campaigns(server: &Tidegate, first_device: usize) -> Result<Vec<i64>> {
    let mut strategies = Vec::new();
    for strategy in BusyStrategy::all()? {
        let uploaded = server.upload_plugin(&strategy.component).await?;
        let PluginUpload::Accepted(revision) = uploaded else {
            bail!("the strategy was rejected: {}", strategy.name);
        };
        let plugin = revision["plugin"].as_str().context("no plugin")?;
        let digest = revision["revision"].as_str().context("no revision")?;
        let path = format!("plugins/{plugin}/revisions/{digest}/enable");
        server.rest("POST", &path, &json!({})).await?;
        strategies.push(json!({ "plugin": plugin, "revision": digest, "config": {} }));
    }
    let firmware = server.upload("2.0.0", &[7; 1024], 1).await?;
    let mut campaigns = Vec::new();
    for (number, strategy) in (0..CAMPAIGNS).zip(strategies.iter().cycle()) {
        let first = first_device + number * BusyStrategy::DEVICES;
        let devices = first..first + BusyStrategy::DEVICES;
        let devices: Vec<_> = devices
            .map(|device| format!("edge-device-{device:06}"))
            .collect();
        let draft = json!({
            "name": format!("busy {number}"), "firmware_id": firmware, "target_devices": devices,
            "strategy": strategy, "policies": [],
        });
        let made = server.rest("POST", "campaigns", &draft).await?;
        let campaign = made["campaign_id"].as_i64().context("no campaign_id")?;
        let path = format!("campaigns/{campaign}/start");
        server.rest("POST", &path, &json!({})).await?;
        campaigns.push(campaign);
    }
    Ok(campaigns)
}

/// Number of decisions of each campaign so far. Fails if one does not run any more, as if it is held.
async fn decisions(server: &Tidegate, campaigns: &[i64]) -> Result<Vec<u64>> {
    let mut decisions = Vec::new();
    for campaign in campaigns {
        let path = format!("campaigns/{campaign}");
        let shown = server.rest("GET", &path, &Value::Null).await?;
        ensure!(shown["status"] == "in_progress", "{shown}");
        let path = format!("campaigns/{campaign}/journal?limit=1");
        let listed = server.rest("GET", &path, &Value::Null).await?;
        decisions.push(listed["total"].as_u64().context("no total")?);
    }
    Ok(decisions)
}

/// Uploads bombs, each of which takes all the CPU time that a compilation may take.
fn upload_bombs(server: &Arc<Tidegate>) -> Result<Vec<JoinHandle<Result<()>>>> {
    let bomb = |number: u32| {
        let component = compile_bomb(40, 3_000 + number)?;
        let server = Arc::clone(server);
        Ok(tokio::spawn(async move {
            match server.upload_plugin(&component).await? {
                PluginUpload::Rejected => Ok(()),
                PluginUpload::Accepted(revision) => bail!("a bomb was accepted: {revision}"),
            }
        }))
    };
    (0..BOMBS).map(bomb).collect()
}
