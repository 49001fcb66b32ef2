//! Timeouts of silent devices.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate_e2e::{
    Execution, Feedback, Finished, IsolatedTenant, RestResponse as _, both_databases, close,
    wait_until,
};

both_databases!(
    silent_devices_time_out,
    cancelling_a_silent_device_times_out
);

async fn silent_devices_time_out(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 3).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let changes = json!({ "timeout_minutes": 30, "failure_threshold_percent": 100 });
    let id = tenant.start_campaign(firmware, changes).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 3 }))
        .await?;

    // The first device never polls, the second starts and falls silent, the third installs the update.
    let offer = fleet[1].offer().await?.context("no offer")?;
    fleet[1]
        .feedback(
            &offer.id,
            &Feedback::new(Execution::Download, Finished::None),
        )
        .await?
        .expect_status(200)?;
    fleet[2].install().await?;
    tenant.advance(Duration::from_mins(29));
    let campaign = tenant
        .wait_for_counts(id, json!({ "completed_devices": 1 }))
        .await?;
    ensure!(campaign["timed_out_devices"] == 0, "{campaign}");

    tenant.advance(Duration::from_mins(2));
    let campaign = tenant.wait_for_status(id, "completed").await?;
    ensure!(campaign["timed_out_devices"] == 2, "{campaign}");
    for update in tenant.updates(id).await? {
        if update["device_id"] == "edge-2" {
            ensure!(update["status"] == "completed", "{update}");
        } else {
            ensure!(
                update["status"] == "timed_out" && update["error_code"] == "TIMEOUT",
                "{update}"
            );
        }
    }
    let never_started = "TIMEOUT: the device did not start the update within 30 minutes";
    let silent = "TIMEOUT: the device stopped reporting";
    let late = "; then its device succeeded after all";
    for (device, cause) in [(&fleet[0], never_started), (&fleet[1], silent)] {
        let reasons = explained(&tenant, &device.id).await?;
        ensure!(
            reasons.contains(cause) && !reasons.contains(late),
            "{}: {reasons}",
            device.id
        );
    }
    // A late failure is rejected, a late success is taken, and no device has anything left to do.
    for (finished, status) in [(Finished::Failure, 410), (Finished::Success, 200)] {
        fleet[1]
            .feedback(&offer.id, &close(finished))
            .await?
            .expect_status(status)?;
    }
    tenant
        .wait_for_counts(
            id,
            json!({ "completed_devices": 2, "timed_out_devices": 1 }),
        )
        .await?;
    for (device, cause, succeeded) in [(&fleet[0], never_started, false), (&fleet[1], silent, true)]
    {
        let reasons = explained(&tenant, &device.id).await?;
        ensure!(
            reasons.contains(cause) && reasons.contains(late) == succeeded,
            "{}: {reasons}",
            device.id
        );
    }
    for device in &fleet {
        ensure!(
            device.poll().await?.deployment_base().is_none(),
            "{} is offered the update",
            device.id
        );
    }
    Ok(())
}

async fn cancelling_a_silent_device_times_out(tenant: IsolatedTenant) -> Result<()> {
    let fleet = tenant.create_devices("edge", 2).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant
        .start_campaign(firmware, json!({ "timeout_minutes": 5 }))
        .await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    tenant.send_command(id, "cancel").await?;
    wait_until("the update is being cancelled", async || {
        Ok(fleet[0].poll().await?.cancel_action().map(drop))
    })
    .await?;
    tenant.advance(Duration::from_mins(6));
    tenant
        .wait_for_counts(id, json!({ "cancelled_devices": 2 }))
        .await?;
    ensure!(
        fleet[0].poll().await?.cancel_action().is_none(),
        "the update is still being cancelled"
    );
    Ok(())
}

/// Why the campaign did or did not update a device.
async fn explained(tenant: &IsolatedTenant, device: &str) -> Result<String> {
    let path = format!("devices/{device}/explain");
    let explained = tenant.viewer.get(&path).await?.expect_success()?;
    Ok(explained["items"][0]["reasons"].to_string())
}
