//! Priorities of several campaigns for the same device.

use anyhow::{Result, ensure};
use serde_json::json;
use tidegate_e2e::{FirmwareForm, TestTenant, both_databases, wait_until};

both_databases!(
    the_highest_priority_goes_first,
    a_security_update_gets_high_priority
);

async fn the_highest_priority_goes_first(tenant: TestTenant) -> Result<()> {
    let mut device = tenant.create_devices("edge", 1).await?.swap_remove(0);
    let mut started = Vec::new();
    for (version, priority) in [
        ("2.0.0", "normal"),
        ("3.0.0", "emergency"),
        ("4.0.0", "normal"),
        ("5.0.0", "low"),
    ] {
        let firmware = tenant.upload_firmware(version).await?;
        let id = tenant
            .start_campaign(
                firmware,
                json!({ "priority": priority, "allow_incompatible": true }),
            )
            .await?;
        tenant
            .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
            .await?;
        started.push(id);
    }
    // One at a time: the highest priority first, among equals the oldest.
    for version in ["3.0.0", "2.0.0", "4.0.0", "5.0.0"] {
        wait_until("an update is offered", async || {
            Ok(device.poll().await?.deployment_base().map(drop))
        })
        .await?;
        ensure!(
            device.install().await?,
            "the device has no update to install"
        );
        ensure!(
            device.version == version,
            "{} came before {version}",
            device.version
        );
    }
    for id in started {
        tenant.wait_for_status(id, "completed").await?;
    }
    Ok(())
}

async fn a_security_update_gets_high_priority(tenant: TestTenant) -> Result<()> {
    let form = FirmwareForm::new("2.0.0").with(json!({ "is_security_update": true }));
    let firmware = form.upload(&tenant.publisher).await?;
    for (asked, becomes) in [
        ("low", "high"),
        ("normal", "high"),
        ("critical", "critical"),
    ] {
        let id = tenant
            .create_campaign(firmware, json!({ "priority": asked }))
            .await?;
        let campaign = tenant.get_campaign(id).await?;
        ensure!(campaign["priority"] == becomes, "{asked}: {campaign}");
    }
    let beta = FirmwareForm::new("2.1.0-rc.1").with(json!({ "is_beta": true }));
    let beta = beta.upload(&tenant.publisher).await?;
    tenant
        .create_campaign(beta, json!({ "allow_beta": true }))
        .await?;
    Ok(())
}
