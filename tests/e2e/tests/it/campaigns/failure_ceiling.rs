//! The failure ceiling, which the server enforces independently of plugins.

use anyhow::{Result, ensure};
use serde_json::json;
use tidegate_e2e::{RestResponse as _, TestTenant, both_databases};

both_databases!(
    a_campaign_without_policies_is_held,
    a_failed_device_that_runs_the_new_version_counts_as_a_success,
    auto_rollback_rolls_back
);

async fn a_campaign_without_policies_is_held(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 10).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let changes = json!({ "max_concurrent_updates": 5, "failure_threshold_percent": 30 });
    let id = tenant.start_campaign(firmware, changes).await?;
    let campaign = tenant
        .wait_for_status_while(id, "held", async || {
            for device in &mut fleet {
                device.fail("DOWNLOAD_FAILED").await?;
            }
            Ok(())
        })
        .await?;
    ensure!(
        campaign["hold"]["by"] == "the failure ceiling",
        "{campaign}"
    );
    let reason = campaign["hold"]["reason"].as_str().unwrap_or_default();
    ensure!(
        reason.contains("30 %") && reason.contains("of the 10 devices"),
        "{reason}"
    );
    let failed = campaign["failed_devices"].as_u64().unwrap_or_default();
    ensure!((3..=10).contains(&failed), "{failed} failed");

    // No more devices are released, and no update is cancelled.
    let pending = tenant.get_campaign(id).await?["pending_devices"].clone();
    for device in &mut fleet {
        ensure!(
            device.poll().await?.cancel_action().is_none(),
            "the update of {} is being cancelled",
            device.id
        );
        device.fail("DOWNLOAD_FAILED").await?;
    }
    let campaign = tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 0 }))
        .await?;
    ensure!(campaign["pending_devices"] == pending, "{campaign}");
    ensure!(campaign["status"] == "held", "{campaign}");
    let journal = tenant.journal(id).await?;
    let last = journal.iter().rfind(|entry| entry["kind"] == "host");
    ensure!(
        last.is_some_and(|entry| entry["outcome"] == "failure_ceiling"),
        "{journal:?}"
    );
    Ok(())
}

async fn a_failed_device_that_runs_the_new_version_counts_as_a_success(
    tenant: TestTenant,
) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 3).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let changes = json!({ "failure_threshold_percent": 50 });
    let id = tenant.start_campaign(firmware, changes).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 3 }))
        .await?;
    ensure!(fleet[0].fail("no space left").await?, "there is no update");
    tenant
        .wait_for_counts(id, json!({ "failed_devices": 1 }))
        .await?;
    // After its reboot it reports the new version.
    fleet[0].report([("sw_version", "2.0.0")]).await?;
    tenant
        .wait_for_counts(id, json!({ "failed_devices": 0, "completed_devices": 1 }))
        .await?;
    let device = tenant.viewer.get("devices/edge-0").await?;
    let device = device.expect_success()?;
    ensure!(device["drift"].is_null(), "{device}");
    let updates = tenant.viewer.list("devices/edge-0/updates").await?;
    ensure!(updates.len() == 1, "{updates:?}");
    for (field, value) in [
        ("status", "completed"),
        ("earlier_error_code", "FAILED"),
        ("earlier_error_message", "no space left"),
    ] {
        ensure!(updates[0][field] == value, "{field}: {}", updates[0]);
    }
    ensure!(updates[0]["error_code"].is_null(), "{}", updates[0]);
    let explained = tenant.viewer.get("devices/edge-0/explain").await?;
    let reasons = explained.expect_success()?["items"][0]["reasons"].to_string();
    for part in [
        "its newest update is completed",
        "it had ended with FAILED: no space left; then its device succeeded after all",
    ] {
        ensure!(reasons.contains(part), "{reasons}");
    }

    // Two failures of three devices would have reached the ceiling.
    ensure!(fleet[1].fail("no space left").await?, "there is no update");
    ensure!(fleet[2].install().await?, "there is no update");
    let campaign = tenant.wait_for_status(id, "completed").await?;
    ensure!(
        campaign["completed_devices"] == 2 && campaign["failed_devices"] == 1,
        "{campaign}"
    );
    Ok(())
}

async fn auto_rollback_rolls_back(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 4).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let changes = json!({ "auto_rollback": true, "failure_threshold_percent": 50 });
    let id = tenant.start_campaign(firmware, changes).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 4 }))
        .await?;
    for device in &mut fleet[..2] {
        device.fail("HEALTH_CHECK_FAILED").await?;
    }
    // The other updates are cancelled before they start, and the devices confirm.
    let campaign = tenant
        .wait_for_status_while(id, "rolled_back", async || {
            for device in &mut fleet {
                if device.poll().await?.cancel_action().is_some() {
                    device.install().await?;
                }
            }
            Ok(())
        })
        .await?;
    ensure!(
        campaign["rollback"]["by"] == "the failure ceiling",
        "{campaign}"
    );
    ensure!(
        campaign["failed_devices"] == 2 && campaign["cancelled_devices"] == 2,
        "{campaign}"
    );
    ensure!(
        fleet.iter().all(|device| device.version == "1.0.0"),
        "a device has another version"
    );
    Ok(())
}
