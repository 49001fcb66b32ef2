//! The start of a campaign on a large fleet, and its memory: on a server of its own, over REST.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    Bench,
    database::{self, DatabaseKind},
    load,
    process::{reset_peak_memory, resident_memory},
    report::Figure,
    tidegate::Tidegate,
};

/// The share of the devices in the first wave.
const CANARY_PERCENTAGE: usize = 10;
/// How often the server is asked whether the first wave is offered.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const MAX_DURATION: Duration = Duration::from_mins(2);

pub(crate) async fn measure(bench: &Bench, kind: DatabaseKind) -> Result<Vec<Figure>> {
    let devices = bench.size(1_000_000, 50_000);
    let name = format!("campaign_start_{}", kind.name().to_lowercase());
    let database = match kind {
        DatabaseKind::Sqlite => None,
        DatabaseKind::Postgres => Some(bench.postgres(&format!("bench_{name}")).await?),
    };
    let mut server = Tidegate::start(bench, &name, database.as_deref())?;
    load::register_devices(server.addr(), server.gateway_header(), 1).await?;
    let copied = async |url: &str| database::copy_device(url, devices).await;
    server.restart(bench, copied).await?;
    let campaign = create_campaign(&server).await?;

    let process = server.process.id();
    let (idle, _) = resident_memory(process)?;
    reset_peak_memory(process)?;
    let began = Instant::now();
    let path = format!("campaigns/{campaign}/start");
    server.rest("POST", &path, &json!({})).await?;
    let start = began.elapsed();
    let first_wave = devices * CANARY_PERCENTAGE / 100;
    until_offered(&server, campaign, first_wave).await?;
    let all = began.elapsed();
    let (_, most) = resident_memory(process)?;

    let what = format!(
        "start of a campaign on {devices} devices, {}, over REST",
        kind.name()
    );
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Ok(vec![
        Figure::new(
            format!("{what}: until the first wave is offered"),
            all.as_secs_f64(),
            "s",
        )
        .of_which("selecting, planning and storing", start.as_secs_f64())
        .of_which(
            format!("offering its {first_wave} devices the update"),
            all.saturating_sub(start).as_secs_f64(),
        )
        .note("strategy canary, policies hardware and version-path")
        .at_most(5.0),
        Figure::new(
            format!("{what}: memory of the server above idle"),
            mib(most.saturating_sub(idle)),
            "MiB",
        )
        .note(format!("resident, at its peak; {:.0} MiB idle", mib(idle)))
        .at_most(300.0),
    ])
}

async fn create_campaign(server: &Tidegate) -> Result<i64> {
    let firmware = server.upload("2.0.0", &[7; 1024], 1).await?;
    let draft = json!({
        "name": "all devices", "firmware_id": firmware, "target_filter": "hw_model==edge",
        "strategy": { "plugin": "canary", "config": { "canary_percentage": CANARY_PERCENTAGE } },
    });
    let made = server.rest("POST", "campaigns", &draft).await?;
    made["campaign_id"].as_i64().context("no campaign_id")
}

/// Waits until so many devices are offered the campaign's firmware.
async fn until_offered(server: &Tidegate, campaign: i64, devices: usize) -> Result<()> {
    let path = format!("campaigns/{campaign}");
    let began = Instant::now();
    while began.elapsed() < MAX_DURATION {
        let shown = server.rest("GET", &path, &Value::Null).await?;
        if shown["in_progress_devices"] == devices {
            return Ok(());
        }
        sleep(POLL_INTERVAL).await;
    }
    bail!("the first wave was not offered the update within {MAX_DURATION:?}")
}
