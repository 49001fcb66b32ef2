//! Retries of failed updates.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_e2e::{HttpResponse, IsolatedTenant, RestResponse as _, both_databases, wait_until};

both_databases!(
    retried_failures_do_not_count,
    a_waiting_retry_holds_no_place_and_a_pin_ends_it,
);

async fn a_waiting_retry_holds_no_place_and_a_pin_ends_it(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 3).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let changes = json!({
        "max_retries": 3, "retry_delay": 3600, "max_concurrent_updates": 1,
        "failure_threshold_percent": 100, "timeout_minutes": 600,
    });
    let id = tenant.start_campaign(firmware, changes).await?;
    let mut failed = Vec::new();
    // Each failure lets the next device in at once, while the others wait for an hour.
    for _ in 0..2 {
        let index = wait_until("a device is offered the update", async || {
            for (index, device) in fleet.iter().enumerate() {
                if device.poll().await?.deployment_base().is_some() {
                    return Ok(Some(index));
                }
            }
            Ok(None)
        })
        .await?;
        ensure!(!failed.contains(&index), "device {index} is offered again");
        ensure!(fleet[index].fail("BUSY").await?, "there is no update");
        failed.push(index);
    }
    let last = (0..3)
        .find(|index| !failed.contains(index))
        .context("a device")?;
    let last_device = &fleet[last];
    wait_until("the last device is offered the update", async || {
        last_device.offer().await
    })
    .await?;

    // Both retries are due, and the last device has the only concurrent update.
    tenant.advance(Duration::from_secs(3600 * 5 / 4 + 1));
    let id_of = |index: usize| format!("edge-{index}");
    let reason = "it waits for another update to end: the campaign allows 1 concurrent updates";
    wait_until("a due retry waits for another update", async || {
        let path = format!("devices/{}/explain", id_of(failed[0]));
        let explained = tenant.viewer.get(&path).await?.expect_success()?;
        let reasons = explained["items"][0]["reasons"].to_string();
        Ok(reasons.contains(reason).then_some(()))
    })
    .await?;
    for index in &failed {
        ensure!(
            fleet[*index].offer().await?.is_none(),
            "there are two updates at once"
        );
    }
    ensure!(fleet[last].install().await?, "there is no update");
    let retried = wait_until("a retry is offered", async || {
        for index in &failed {
            if fleet[*index].offer().await?.is_some() {
                return Ok(Some(*index));
            }
        }
        Ok(None)
    })
    .await?;

    // The other retry waits; a pin ends it at once, and the campaign completes without it.
    let pinned = failed.iter().find(|index| **index != retried);
    let pinned = id_of(*pinned.context("another device")?);
    let request = tenant
        .operator
        .request(Method::PATCH, &format!("devices/{pinned}"))
        .json(&json!({ "pinned": true }));
    HttpResponse::fetch(request).await?.expect_status(200)?;
    let path = format!("devices/{pinned}/updates");
    let updates = tenant.viewer.get(&path).await?.expect_success()?;
    ensure!(updates["items"][0]["status"] == "cancelled", "{updates}");
    ensure!(fleet[retried].install().await?, "there is no update");
    let campaign = tenant.wait_for_status(id, "completed").await?;
    for (name, devices) in [
        ("completed_devices", 2),
        ("cancelled_devices", 1),
        ("failed_devices", 0),
    ] {
        ensure!(campaign[name] == devices, "{name}: {campaign}");
    }
    Ok(())
}

async fn retried_failures_do_not_count(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 2).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let changes = json!({ "max_retries": 3, "retry_delay": 60, "failure_threshold_percent": 1 });
    let id = tenant.start_campaign(firmware, changes).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    fleet[1].install().await?;

    let mut offered = Vec::new();
    for (count, wait) in [(1, 60), (2, 120)] {
        let offer = fleet[0].offer().await?.context("no offer")?;
        ensure!(
            !offered.contains(&offer.id),
            "update {} is offered again",
            offer.id
        );
        offered.push(offer.id);
        ensure!(
            fleet[0].fail("CHECKSUM_MISMATCH").await?,
            "the device has no update to fail"
        );
        let newest_update = newest_update(&tenant).await?;
        ensure!(newest_update["status"] == "scheduled", "{newest_update}");
        ensure!(newest_update["retry_count"] == count, "{newest_update}");
        let first: i64 = offered[0].parse()?;
        ensure!(newest_update["retry_of"] == first, "{newest_update}");
        let explained = tenant
            .viewer
            .get("devices/edge-0/explain")
            .await?
            .expect_success()?;
        let reasons = explained["items"][0]["reasons"].to_string();
        ensure!(reasons.contains("it is offered in"), "{reasons}");
        ensure!(reasons.contains("CHECKSUM_MISMATCH"), "{reasons}");

        tenant.advance(Duration::from_secs(wait - 1));
        ensure!(
            fleet[0].offer().await?.is_none(),
            "the retry is offered too early"
        );
        // The delay and its maximum jitter.
        tenant.advance(Duration::from_secs(wait / 4 + 2));
        wait_until("the retry is offered", async || {
            let poll = fleet[0].poll().await?;
            Ok(poll.deployment_base().is_some().then_some(()))
        })
        .await?;
    }
    ensure!(
        fleet[0].install().await?,
        "the device has no update to install"
    );

    let campaign = tenant.wait_for_status(id, "completed").await?;
    for (name, devices) in [
        ("completed_devices", 2),
        ("failed_devices", 0),
        ("timed_out_devices", 0),
    ] {
        ensure!(campaign[name] == devices, "{name}: {campaign}");
    }
    ensure!(campaign["max_retries"] == 3, "{campaign}");
    let history = tenant
        .viewer
        .get("devices/edge-0/updates")
        .await?
        .expect_success()?;
    ensure!(history["total"] == 3, "{history}");
    ensure!(history["success_rate"] == 100.0, "{history}");
    let retried = |update: &&Value| update["is_retried"] == true && update["status"] == "failed";
    let updates = tenant.updates(id).await?;
    ensure!(updates.iter().filter(retried).count() == 2, "{updates:?}");
    Ok(())
}

/// The newest update of the first device.
async fn newest_update(tenant: &IsolatedTenant) -> Result<Value> {
    let history = tenant
        .viewer
        .get("devices/edge-0/updates")
        .await?
        .expect_success()?;
    Ok(history["items"][0].clone())
}
