//! Success that a device has to prove.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate_e2e::{Alone, Device, both_databases, close, until};

both_databases!(
    success_is_the_new_version_reported,
    a_device_has_to_stay_well,
);

async fn success_is_the_new_version_reported(lab: Alone) -> Result<()> {
    let fleet = lab.fleet("edge", 3).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let changes = json!({
        "success_criteria": "attested",
        "timeout_minutes": 30,
        "failure_threshold_percent": 100,
    });
    let id = lab.start(firmware, changes).await?;
    lab.until_counts(id, json!({ "in_progress_devices": 3 }))
        .await?;
    for device in &fleet {
        says_it_is_done(device).await?;
    }
    let status = async |device: &str| -> Result<serde_json::Value> {
        let updates = lab.updates(id).await?;
        let update = updates
            .into_iter()
            .find(|update| update["device_id"] == device);
        Ok(update.context("an update")?["status"].clone())
    };
    for device in &fleet {
        ensure!(
            status(&device.id).await? == "verifying",
            "{} counts already",
            device.id
        );
        ensure!(
            device.poll().await?.deployment().is_none(),
            "it is offered again"
        );
    }
    // One comes back with what it was to get, one with what it had, one not at all.
    fleet[0].report(json!({ "sw_version": "2.0.0" })).await?;
    fleet[1].report(json!({ "sw_version": "1.0.0" })).await?;
    lab.until_counts(
        id,
        json!({ "completed_devices": 1, "in_progress_devices": 2 }),
    )
    .await?;
    ensure!(
        status("edge-0").await? == "completed",
        "the wrong one counts"
    );

    // The second one had not restarted yet, and spells versions in its own way.
    fleet[1].report(json!({ "sw_version": "v2.0" })).await?;
    lab.until_counts(id, json!({ "completed_devices": 2 }))
        .await?;
    lab.pass(Duration::from_mins(31));
    let campaign = lab.until_status(id, "completed").await?;
    ensure!(
        campaign["completed_devices"] == 2 && campaign["timed_out_devices"] == 1,
        "{campaign}"
    );
    Ok(())
}

async fn a_device_has_to_stay_well(lab: Alone) -> Result<()> {
    let fleet = lab.fleet("edge", 3).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let changes = json!({
        "success_criteria": "soaked",
        "soak_minutes": 120,
        "timeout_minutes": 30,
        "failure_threshold_percent": 100,
    });
    let id = lab.start(firmware, changes).await?;
    ensure!(lab.show(id).await?["soak_minutes"] == 120);
    lab.until_counts(id, json!({ "in_progress_devices": 3 }))
        .await?;
    for device in &fleet {
        says_it_is_done(device).await?;
        device.report(json!({ "sw_version": "2.0.0" })).await?;
        ensure!(
            device.poll().await?.link("configData").is_none(),
            "it is left in peace"
        );
    }
    // One falls back, one stays, one is never heard of again.
    lab.pass(Duration::from_hours(1));
    fleet[0].report(json!({ "sw_version": "1.0.0" })).await?;
    lab.until_counts(id, json!({ "failed_devices": 1, "in_progress_devices": 2 }))
        .await?;
    let failed = lab.updates(id).await?;
    let failed = failed.iter().find(|update| update["device_id"] == "edge-0");
    ensure!(failed.is_some_and(|update| update["error_code"] == "HEALTH_CHECK_FAILED"));
    fleet[1].report(json!({ "sw_version": "2.0.0" })).await?;
    ensure!(lab.show(id).await?["completed_devices"] == 0, "it is early");

    lab.pass(Duration::from_mins(61));
    let asked = until("it is asked for its version", async || {
        let poll = fleet[1].poll().await?;
        Ok(poll.link("configData").map(str::to_owned))
    });
    asked.await?;
    fleet[1].report(json!({ "sw_version": "2.0.0" })).await?;
    lab.until_counts(id, json!({ "completed_devices": 1 }))
        .await?;
    lab.pass(Duration::from_mins(31));
    let campaign = lab.until_status(id, "completed").await?;
    ensure!(campaign["timed_out_devices"] == 1, "{campaign}");
    Ok(())
}

async fn says_it_is_done(device: &Device) -> Result<()> {
    let offer = device.offer().await?.context("an offer")?;
    device
        .feedback(&offer.id, &close("success"))
        .await?
        .is(200)?;
    Ok(())
}
