//! Devices that say nothing more.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate_e2e::{Alone, both_databases, close, feedback, until};

both_databases!(silent_devices_time_out, a_call_back_of_a_silent_device_ends);

async fn silent_devices_time_out(lab: Alone) -> Result<()> {
    let mut fleet = lab.fleet("edge", 3).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let changes = json!({ "timeout_minutes": 30, "failure_threshold_percent": 100 });
    let id = lab.start(firmware, changes).await?;
    lab.until_counts(id, json!({ "in_progress_devices": 3 }))
        .await?;

    // One never comes, one takes it up and falls silent, one does as it should.
    let offer = fleet[1].offer().await?.context("an offer")?;
    fleet[1]
        .feedback(&offer.id, &feedback("download", "none"))
        .await?
        .is(200)?;
    fleet[2].install().await?;
    lab.pass(Duration::from_mins(29));
    let campaign = lab
        .until_counts(id, json!({ "completed_devices": 1 }))
        .await?;
    ensure!(campaign["timed_out_devices"] == 0, "{campaign}");

    lab.pass(Duration::from_mins(2));
    let campaign = lab.until_status(id, "completed").await?;
    ensure!(campaign["timed_out_devices"] == 2, "{campaign}");
    for update in lab.updates(id).await? {
        if update["device_id"] == "edge-2" {
            ensure!(update["status"] == "completed", "{update}");
        } else {
            ensure!(
                update["status"] == "timed_out" && update["error_code"] == "TIMEOUT",
                "{update}"
            );
        }
    }
    // Who comes too late is told so, and has nothing more to do.
    fleet[1]
        .feedback(&offer.id, &close("success"))
        .await?
        .is(410)?;
    for device in &fleet {
        ensure!(
            device.poll().await?.deployment().is_none(),
            "{} is offered it",
            device.id
        );
    }
    Ok(())
}

async fn a_call_back_of_a_silent_device_ends(lab: Alone) -> Result<()> {
    let fleet = lab.fleet("edge", 2).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let id = lab.start(firmware, json!({ "timeout_minutes": 5 })).await?;
    lab.until_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    lab.step(id, "cancel").await?;
    until("the device is called back", async || {
        Ok(fleet[0].poll().await?.cancel().map(drop))
    })
    .await?;
    lab.pass(Duration::from_mins(6));
    lab.until_counts(id, json!({ "cancelled_devices": 2 }))
        .await?;
    ensure!(
        fleet[0].poll().await?.cancel().is_none(),
        "it is still called back"
    );
    Ok(())
}
