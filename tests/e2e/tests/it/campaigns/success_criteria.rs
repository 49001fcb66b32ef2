//! Success criteria beyond the device's feedback.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate_e2e::{Device, Finished, IsolatedTenant, both_databases, close, wait_until};

both_databases!(
    attested_success_requires_the_new_version,
    soaked_success_requires_the_version_after_the_soak,
);

async fn attested_success_requires_the_new_version(tenant: IsolatedTenant) -> Result<()> {
    let fleet = tenant.create_devices("edge", 3).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let changes = json!({
        "success_criteria": "attested",
        "timeout_minutes": 30,
        "failure_threshold_percent": 100,
    });
    let id = tenant.start_campaign(firmware, changes).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 3 }))
        .await?;
    for device in &fleet {
        close_successfully(device).await?;
    }
    let status = async |device: &str| -> Result<serde_json::Value> {
        let updates = tenant.updates(id).await?;
        let update = updates
            .into_iter()
            .find(|update| update["device_id"] == device);
        Ok(update.context("no update")?["status"].clone())
    };
    for device in &fleet {
        ensure!(
            status(&device.id).await? == "verifying",
            "{} counts as done too early",
            device.id
        );
        ensure!(
            device.poll().await?.deployment_base().is_none(),
            "the update is offered again"
        );
    }
    // The first device reports the new version, the second the old one, the third nothing.
    fleet[0].report([("sw_version", "2.0.0")]).await?;
    fleet[1].report([("sw_version", "1.0.0")]).await?;
    tenant
        .wait_for_counts(
            id,
            json!({ "completed_devices": 1, "in_progress_devices": 2 }),
        )
        .await?;
    ensure!(
        status("edge-0").await? == "completed",
        "the wrong device counts"
    );

    // The second device had not restarted yet. It writes versions in another form.
    fleet[1].report([("sw_version", "v2.0")]).await?;
    tenant
        .wait_for_counts(id, json!({ "completed_devices": 2 }))
        .await?;
    tenant.advance(Duration::from_mins(31));
    let campaign = tenant.wait_for_status(id, "completed").await?;
    ensure!(
        campaign["completed_devices"] == 2 && campaign["timed_out_devices"] == 1,
        "{campaign}"
    );
    Ok(())
}

async fn soaked_success_requires_the_version_after_the_soak(tenant: IsolatedTenant) -> Result<()> {
    let fleet = tenant.create_devices("edge", 3).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let changes = json!({
        "success_criteria": "soaked",
        "soak_minutes": 120,
        "timeout_minutes": 30,
        "failure_threshold_percent": 100,
    });
    let id = tenant.start_campaign(firmware, changes).await?;
    ensure!(tenant.get_campaign(id).await?["soak_minutes"] == 120);
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 3 }))
        .await?;
    for device in &fleet {
        close_successfully(device).await?;
        device.report([("sw_version", "2.0.0")]).await?;
        ensure!(
            device.poll().await?.config_data().is_none(),
            "attributes are requested during the soak"
        );
    }
    // The first device falls back, the second stays on the version, the third reports nothing more.
    tenant.advance(Duration::from_hours(1));
    fleet[0].report([("sw_version", "1.0.0")]).await?;
    tenant
        .wait_for_counts(id, json!({ "failed_devices": 1, "in_progress_devices": 2 }))
        .await?;
    let failed = tenant.updates(id).await?;
    let failed = failed.iter().find(|update| update["device_id"] == "edge-0");
    ensure!(failed.is_some_and(|update| update["error_code"] == "HEALTH_CHECK_FAILED"));
    fleet[1].report([("sw_version", "2.0.0")]).await?;
    ensure!(
        tenant.get_campaign(id).await?["completed_devices"] == 0,
        "an update completed before the end of the soak"
    );

    tenant.advance(Duration::from_mins(61));
    let asked = wait_until("attributes are requested after the soak", async || {
        let poll = fleet[1].poll().await?;
        Ok(poll.config_data().map(str::to_owned))
    });
    asked.await?;
    fleet[1].report([("sw_version", "2.0.0")]).await?;
    tenant
        .wait_for_counts(id, json!({ "completed_devices": 1 }))
        .await?;
    tenant.advance(Duration::from_mins(31));
    let campaign = tenant.wait_for_status(id, "completed").await?;
    ensure!(campaign["timed_out_devices"] == 1, "{campaign}");
    Ok(())
}

async fn close_successfully(device: &Device) -> Result<()> {
    let offer = device.offer().await?.context("no offer")?;
    device
        .feedback(&offer.id, &close(Finished::Success))
        .await?
        .expect_status(200)?;
    Ok(())
}
