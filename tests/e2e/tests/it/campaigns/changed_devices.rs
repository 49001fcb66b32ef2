//! Devices that change while a campaign runs.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tidegate_e2e::{IsolatedTenant, both_databases, wait_until};

both_databases!(
    a_later_wave_skips_devices_that_are_not_compatible_any_more,
    an_offer_is_withdrawn_from_another_board,
);

async fn a_later_wave_skips_devices_that_are_not_compatible_any_more(
    tenant: IsolatedTenant,
) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 4).await?;
    let firmware = tenant.upload_firmware("1.1.0").await?;
    let changes = json!({
        "strategy": { "plugin": "canary", "config": {
            "canary_percentage": 25, "canary_duration_minutes": 30, "steps": [100],
        } },
        "policies": [
            { "plugin": "hardware", "config": {} }, { "plugin": "version-path", "config": {} },
        ],
    });
    let id = tenant.start_campaign(firmware, changes).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    let canary = tenant.updates(id).await?[0]["device_id"].clone();
    let mut waiting = Vec::new();
    for mut device in fleet.drain(..) {
        if device.id == canary.as_str().unwrap_or_default() {
            ensure!(device.install().await?, "the canary has no update");
        } else {
            waiting.push(device);
        }
    }
    let [newer, replaced, same] = &waiting[..] else {
        anyhow::bail!("{} devices wait", waiting.len());
    };
    let attributes = |model, version| {
        [
            ("hw_model", model),
            ("hw_revision", "1.0"),
            ("sw_version", version),
        ]
    };
    newer.report(attributes("edge", "1.2.0")).await?;
    replaced.report(attributes("tower", "1.0.0")).await?;
    tenant
        .wait_for_counts(id, json!({ "completed_devices": 1 }))
        .await?;
    tenant.advance(Duration::from_mins(31));

    for (device, reason) in [(newer, "version-path: "), (replaced, "hardware: ")] {
        wait_until("the device is skipped", async || {
            let update = update_of(&tenant, id, &device.id).await?;
            Ok((update["status"] == "cancelled").then_some(()))
        })
        .await?;
        let update = update_of(&tenant, id, &device.id).await?;
        ensure!(update["error_code"] == "INCOMPATIBLE", "{update}");
        let message = update["error_message"].as_str().unwrap_or_default();
        ensure!(message.starts_with(reason), "{update}");
        ensure!(
            device.offer().await?.is_none(),
            "{} is offered the update",
            device.id
        );
        let path = format!("devices/{}/explain", device.id);
        let explained = tenant.viewer.get(&path).await?.expect_status(200)?.json()?;
        ensure!(
            explained["items"][0]["standing"] == "passed_over",
            "{explained}"
        );
        let reasons = explained["items"][0]["reasons"].to_string();
        ensure!(reasons.contains(message), "{reasons}");
        ensure!(reasons.contains("checked again at "), "{reasons}");
    }
    wait_until(
        "the device that did not change is offered the update",
        async || Ok(same.offer().await?),
    )
    .await?;
    Ok(())
}

async fn an_offer_is_withdrawn_from_another_board(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 1).await?;
    let device = fleet.remove(0);
    let firmware = tenant.upload_firmware("1.1.0").await?;
    let path = format!("devices/{}/update", device.id);
    let body = json!({ "firmware_id": firmware });
    let update = tenant
        .operator
        .post(&path, &body)
        .await?
        .expect_status(201)?
        .json()?;
    let is_offered = async || anyhow::Ok(device.poll().await?.deployment_base().is_some());
    ensure!(is_offered().await?, "{update}");
    let tower = [
        ("hw_model", "tower"),
        ("hw_revision", "1.0"),
        ("sw_version", "1.0.0"),
    ];
    device.report(tower).await?;
    ensure!(!is_offered().await?, "the offer stands");
    let path = format!("updates/{}", update["update_id"]);
    let ended = wait_until("the update ends", async || {
        let shown = tenant.viewer.get(&path).await?.expect_status(200)?.json()?;
        Ok((shown["status"] == "cancelled").then_some(shown))
    })
    .await?;
    ensure!(ended["error_code"] == "INCOMPATIBLE", "{ended}");
    Ok(())
}

async fn update_of(tenant: &IsolatedTenant, campaign: i64, device: &str) -> Result<Value> {
    let updates = tenant.updates(campaign).await?;
    let found = updates
        .into_iter()
        .find(|update| update["device_id"] == device);
    Ok(found.unwrap_or_default())
}
