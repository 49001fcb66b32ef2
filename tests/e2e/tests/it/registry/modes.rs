use anyhow::{Result, ensure};
use serde_json::json;
use tidegate_e2e::{Alone, both_databases};

use super::{set, why};

both_databases!(
    campaigns_are_for_devices_in_mode_rollout,
    a_pin_stops_what_is_new_until_it_goes,
    a_deleted_device_comes_back_as_a_new_one,
);

async fn campaigns_are_for_devices_in_mode_rollout(lab: Alone) -> Result<()> {
    let mut fleet = lab.fleet("edge", 3).await?;
    set(&lab, "edge-1", json!({ "mode": "manual" })).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let id = lab.start(firmware, json!({})).await?;
    lab.until_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    let campaign = lab.show(id).await?;
    ensure!(
        campaign["total_devices"] == 3 && campaign["excluded_devices"] == 1,
        "{campaign}"
    );
    ensure!(
        !fleet[1].install().await?,
        "a manual device is given something"
    );
    let (standing, reasons) = why(&lab, "edge-1", id).await?;
    ensure!(
        standing == "excluded" && reasons.contains("mode manual"),
        "{reasons}"
    );
    let explained = lab.viewer.get("devices/edge-1/explain").await?.ok()?;
    ensure!(explained["device"]["mode"] == "manual", "{explained}");
    for device in [0, 2] {
        ensure!(fleet[device].install().await?);
    }
    lab.until_status(id, "completed").await?;
    Ok(())
}

async fn a_pin_stops_what_is_new_until_it_goes(lab: Alone) -> Result<()> {
    let mut fleet = lab.fleet("edge", 3).await?;
    let firmware = lab.firmware("2.0.0").await?;
    set(&lab, "edge-1", json!({ "pinned": true })).await?;
    let id = lab.start(firmware, json!({})).await?;
    lab.until_counts(
        id,
        json!({ "in_progress_devices": 2, "cancelled_devices": 1 }),
    )
    .await?;
    let (standing, reasons) = why(&lab, "edge-1", id).await?;
    ensure!(
        standing == "passed_over" && reasons.contains("pinned"),
        "{reasons}"
    );
    ensure!(
        !fleet[1].install().await?,
        "a pinned device is given something"
    );

    // One is pinned with an open update: that it may finish.
    set(&lab, "edge-0", json!({ "pinned": true })).await?;
    ensure!(fleet[0].install().await?, "it may not finish");
    set(&lab, "edge-1", json!({ "pinned": false })).await?;
    lab.until_counts(
        id,
        json!({ "in_progress_devices": 2, "cancelled_devices": 0 }),
    )
    .await?;
    ensure!(why(&lab, "edge-1", id).await?.0 == "admitted");
    for device in [1, 2] {
        ensure!(fleet[device].install().await?);
    }
    let campaign = lab.until_status(id, "completed").await?;
    ensure!(campaign["completed_devices"] == 3, "{campaign}");
    Ok(())
}

async fn a_deleted_device_comes_back_as_a_new_one(lab: Alone) -> Result<()> {
    let mut fleet = lab.fleet("edge", 2).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let id = lab.start(firmware, json!({})).await?;
    lab.until_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    let offer = fleet[0].offer().await?;
    ensure!(offer.is_some());
    let delete = lab
        .operator
        .request(reqwest::Method::DELETE, "devices/edge-0");
    tidegate_e2e::Answer::of(delete).await?.is(204)?;
    lab.until_counts(
        id,
        json!({ "in_progress_devices": 1, "cancelled_devices": 1 }),
    )
    .await?;
    lab.viewer
        .get("devices/edge-0")
        .await?
        .problem(404, "not_found")?;
    ensure!(fleet[1].install().await?);
    lab.until_status(id, "completed").await?;

    let poll = fleet[0].poll().await?;
    ensure!(poll.deployment().is_none(), "{poll:?}");
    let again = lab.viewer.get("devices/edge-0").await?.ok()?;
    ensure!(
        again["state"] == "registered" && again["attributes"] == json!({}),
        "{again}"
    );
    Ok(())
}
