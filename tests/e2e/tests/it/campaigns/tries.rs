//! Devices that are worth another try.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidegate_e2e::{Alone, both_databases, until};

both_databases!(a_device_fails_twice_and_its_campaign_never);

async fn a_device_fails_twice_and_its_campaign_never(lab: Alone) -> Result<()> {
    let mut fleet = lab.fleet("edge", 2).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let changes = json!({ "max_retries": 3, "retry_delay": 60, "failure_threshold_percent": 1 });
    let id = lab.start(firmware, changes).await?;
    lab.until_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    fleet[1].install().await?;

    let mut offered = Vec::new();
    for (count, wait) in [(1, 60), (2, 120)] {
        let offer = fleet[0].offer().await?.context("an offer")?;
        ensure!(!offered.contains(&offer.id), "{} once more", offer.id);
        offered.push(offer.id);
        ensure!(fleet[0].fail("CHECKSUM_MISMATCH").await?, "nothing to fail");
        let newest = newest(&lab).await?;
        ensure!(newest["status"] == "scheduled", "{newest}");
        ensure!(newest["retry_count"] == count, "{newest}");
        let first: i64 = offered[0].parse()?;
        ensure!(newest["retry_of"] == first, "{newest}");
        let explained = lab.viewer.get("devices/edge-0/explain").await?.ok()?;
        let reasons = explained["items"][0]["reasons"].to_string();
        ensure!(reasons.contains("it goes out in"), "{reasons}");
        ensure!(reasons.contains("CHECKSUM_MISMATCH"), "{reasons}");

        lab.pass(Duration::from_secs(wait - 1));
        ensure!(fleet[0].offer().await?.is_none(), "it is offered too early");
        // With what is scattered upwards.
        lab.pass(Duration::from_secs(wait / 4 + 2));
        until("the next try is offered", async || {
            let poll = fleet[0].poll().await?;
            Ok(poll.deployment().is_some().then_some(()))
        })
        .await?;
    }
    ensure!(fleet[0].install().await?, "it had nothing to install");

    let campaign = lab.until_status(id, "completed").await?;
    for (name, devices) in [
        ("completed_devices", 2),
        ("failed_devices", 0),
        ("timed_out_devices", 0),
    ] {
        ensure!(campaign[name] == devices, "{name}: {campaign}");
    }
    ensure!(campaign["max_retries"] == 3, "{campaign}");
    let history = lab.viewer.get("devices/edge-0/updates").await?.ok()?;
    ensure!(history["total"] == 3, "{history}");
    ensure!(history["success_rate"] == 100.0, "{history}");
    let retried = |update: &&Value| update["is_retried"] == true && update["status"] == "failed";
    let updates = lab.updates(id).await?;
    ensure!(updates.iter().filter(retried).count() == 2, "{updates:?}");
    Ok(())
}

/// The newest update of the first device.
async fn newest(lab: &Alone) -> Result<Value> {
    let history = lab.viewer.get("devices/edge-0/updates").await?.ok()?;
    Ok(history["items"][0].clone())
}
