//! A complete canary campaign.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tidegate_e2e::{IsolatedTenant, both_databases, wait_until};

both_databases!(releases_wave_by_wave);

async fn releases_wave_by_wave(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 10).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant
        .start_campaign(
            firmware,
            json!({
                "strategy": { "plugin": "canary", "config": {
                    "canary_percentage": 20,
                    "canary_duration_minutes": 30,
                    "steps": [50, 100],
                } },
                "policies": [{ "plugin": "hardware", "config": {} }],
            }),
        )
        .await?;

    // Only two canaries are offered the firmware.
    tenant
        .wait_for_counts(id, json!({ "total_devices": 10, "in_progress_devices": 2 }))
        .await?;
    let mut canaries = 0;
    for device in &mut fleet {
        canaries += u32::from(device.install().await?);
    }
    ensure!(canaries == 2, "{canaries} devices had an update");

    // The observation time is half an hour, however often the strategy is called.
    tenant
        .wait_for_counts(
            id,
            json!({ "completed_devices": 2, "in_progress_devices": 0 }),
        )
        .await?;
    tenant.advance(Duration::from_mins(29));
    wait_for_next_decision(&tenant, id).await?;
    ensure!(
        tenant.get_campaign(id).await?["in_progress_devices"] == 0,
        "the strategy did not wait"
    );

    tenant.advance(Duration::from_mins(2));
    let campaign = tenant
        .wait_for_status_while(id, "completed", async || {
            for device in &mut fleet {
                device.install().await?;
            }
            Ok(())
        })
        .await?;
    for (field, expected) in [
        ("total_devices", json!(10)),
        ("completed_devices", json!(10)),
        ("pending_devices", json!(0)),
        ("failed_devices", json!(0)),
        ("progress_percentage", json!(100.0)),
    ] {
        ensure!(campaign[field] == expected, "{field}: {campaign}");
    }
    let waves = tenant.waves(id).await?;
    let sizes: Vec<_> = waves.iter().map(|wave| wave["total"].as_u64()).collect();
    ensure!(sizes == [Some(2), Some(3), Some(5)], "{sizes:?}");
    for device in &fleet {
        ensure!(
            device.version == "2.0.0",
            "{} has {}",
            device.id,
            device.version
        );
        ensure!(
            device.poll().await?.deployment_base().is_none(),
            "{} is offered another update",
            device.id
        );
    }
    Ok(())
}

/// Waits until the strategy has been called once more at the current time.
async fn wait_for_next_decision(tenant: &IsolatedTenant, id: i64) -> Result<()> {
    let before = tenant.journal(id).await?.len();
    tenant.send_command(id, "pause").await?;
    tenant.send_command(id, "resume").await?;
    wait_until("the strategy is called again", async || {
        Ok((tenant.journal(id).await?.len() > before).then_some(()))
    })
    .await
}
