//! The steps of the operator.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tidegate_fleet::{Fleet, Operator};
use tokio::time::sleep;

use crate::{BAD, view::View};

/// Interval between two requests.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Waits until the server has all devices with their versions.
pub(crate) async fn wait_for_devices(operator: &Operator, devices: usize) -> Result<()> {
    loop {
        let known = operator
            .list_all("devices?q=sw_version==1.0.0")
            .await
            .context("list devices")?;
        if known.len() == devices {
            return Ok(());
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Uploads a firmware and rolls it out to all devices with the strategy canary. Returns the ended campaign.
pub(crate) async fn roll_out(
    operator: &Operator,
    view: &View,
    fleet: &Fleet,
    version: &str,
) -> Result<Value> {
    let metadata = json!({
        "name": "tide-os", "version": version, "device_model": "tide-box", "manufacturer": "Tidegate",
        "min_hardware_version": "1.0.0", "max_hardware_version": "3.0.0",
        "changelog": "Generated for the demo.",
    });
    let file = format!("tide-os-{version}.img");
    let firmware = operator
        .upload(&metadata, &file, image(version))
        .await
        .context("upload firmware")?;
    view.print(&format!(
        "firmware {version} is uploaded: {} bytes, sha256 {}",
        firmware["file_size"],
        firmware["checksum_sha256"].as_str().unwrap_or_default()
    ));
    let body = campaign(version, &firmware["firmware_id"]);
    let made = operator
        .post("campaigns", &body)
        .await
        .context("create the campaign")?;
    let id = made["campaign_id"]
        .as_i64()
        .context("the campaign has no id")?;
    operator
        .post(&format!("campaigns/{id}/start"), &json!({}))
        .await
        .context("start the campaign")?;
    view.campaign(&format!(
        "campaign {id}: {version} to every device, a tenth of them first"
    ));
    watch(operator, view, fleet, id).await
}

fn campaign(version: &str, firmware: &Value) -> Value {
    json!({
        "name": format!("tide-os {version}"),
        "firmware_id": firmware,
        "target_filter": "hw_model==tide-box",
        "strategy": { "plugin": "canary", "config": {
            "canary_percentage": 10, "canary_duration_minutes": 0.03, "steps": [40, 100],
        }},
        "policies": [
            { "plugin": "hardware", "config": {} },
            { "plugin": "version-path", "config": {} },
            { "plugin": "failure-rate", "config": { "threshold_percent": 20, "minimum_sample": 10 } },
            { "plugin": "timeout", "config": {} },
        ],
        "timeout_minutes": 10,
        "auto_rollback": true,
        // Disabled, so that the policy stops the bad firmware.
        "failure_threshold_percent": 100,
        "success_criteria": "attested",
        "description": if version == BAD { "Fails on three of ten devices." } else { "Installs on all devices." },
    })
}

/// Some hundred KiB, the same in every run.
fn image(version: &str) -> Vec<u8> {
    let mut state = version
        .bytes()
        .fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| {
            (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let words = (300 << 10) / 8;
    let mut bytes = Vec::with_capacity(words * 8);
    for _ in 0..words {
        // xorshift64 is good enough for incompressible bytes.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// Shows a campaign until it has ended.
async fn watch(operator: &Operator, view: &View, fleet: &Fleet, id: i64) -> Result<Value> {
    let mut seen = 0;
    loop {
        let campaign = operator
            .get(&format!("campaigns/{id}"))
            .await
            .context("read the campaign")?;
        let path = format!("campaigns/{id}/journal?limit=500&offset={seen}");
        let journal = operator.get(&path).await.context("read the journal")?;
        let entries = journal["items"].as_array().map_or(&[][..], Vec::as_slice);
        seen += entries.len();
        view.update(&campaign, entries, &fleet.versions());
        match campaign["status"].as_str().unwrap_or_default() {
            "completed" | "rolled_back" | "failed" | "cancelled" => return Ok(campaign),
            "held" => bail!("campaign {id} is held: {}", campaign["hold"]["reason"]),
            _ => sleep(POLL_INTERVAL).await,
        }
    }
}
