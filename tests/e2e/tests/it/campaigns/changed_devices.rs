//! Devices that change while a campaign runs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_e2e::{
    Device, FirmwareForm, HttpResponse, IsolatedTenant, RestResponse as _, both_databases,
    wait_until,
};

both_databases!(
    a_later_wave_skips_devices_that_are_not_compatible_any_more,
    an_offer_is_withdrawn_from_another_board,
    a_late_confirmation_offers_nothing_to_another_board,
    retries_go_to_no_other_board,
    rollbacks_go_to_no_other_board,
    mode_latest_offers_nothing_to_another_board,
    a_forced_update_goes_to_any_board,
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

    let newer_class = "edge, revision 1.0, version 1.2.0";
    let replaced_class = "tower, revision 1.0, version 1.0.0";
    for (device, reason, class) in [
        (newer, "tidegate/version-path: ", newer_class),
        (replaced, "tidegate/hardware: ", replaced_class),
    ] {
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
        let (standing, reasons) = explained(&tenant, device).await?;
        ensure!(standing == "passed_over", "{standing}");
        let again = format!("it was checked again as hardware {class}");
        for part in [message, "checked again at ", &again] {
            ensure!(reasons.contains(part), "{part}: {reasons}");
        }
    }
    wait_until(
        "the device that did not change is offered the update",
        async || Ok(same.offer().await?),
    )
    .await?;
    let (_, reasons) = explained(&tenant, same).await?;
    let (_, checked) = reasons
        .split_once("policies checked its compatibility at ")
        .with_context(|| format!("no check: {reasons}"))?;
    let (at, _) = checked.split_once(' ').unwrap_or_default();
    ensure!(at.ends_with('Z') && at.contains('T'), "{reasons}");
    ensure!(
        reasons.contains("as hardware edge, revision 1.0, version 1.0.0"),
        "{reasons}"
    );
    ensure!(!reasons.contains("checked again"), "{reasons}");
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
    report_model(&device, "tower").await?;
    ensure!(!is_offered().await?, "the offer stands");
    wait_for_skip(&tenant, &device, &update["update_id"]).await
}

async fn a_late_confirmation_offers_nothing_to_another_board(tenant: IsolatedTenant) -> Result<()> {
    let device = tenant.create_devices("edge", 1).await?.remove(0);
    let firmware = tenant.upload_firmware("1.1.0").await?;
    let changes = json!({ "requires_confirmation": true, "policies": policies() });
    let id = tenant.start_campaign(firmware, changes).await?;
    wait_until("the confirmation is requested", async || {
        Ok(device.poll().await?.confirmation_base().map(drop))
    })
    .await?;
    let update = update_of(&tenant, id, &device.id).await?["update_id"].clone();
    report_model(&device, "tower").await?;
    let path = format!("confirmationBase/{update}/feedback");
    let answer = device
        .request(Method::POST, &path)
        .json(&json!({ "confirmation": "confirmed" }));
    let answered = HttpResponse::fetch(answer).await?;
    ensure!(!answered.status.is_success(), "{answered:?}");
    wait_for_skip(&tenant, &device, &update).await
}

/// An automatic retry and one by hand.
async fn retries_go_to_no_other_board(tenant: IsolatedTenant) -> Result<()> {
    let mut device = tenant.create_devices("edge", 1).await?.remove(0);
    let firmware = tenant.upload_firmware("1.1.0").await?;
    let changes = json!({
        "max_retries": 1, "retry_delay": 60, "failure_threshold_percent": 100, "policies": policies(),
    });
    let id = tenant.start_campaign(firmware, changes).await?;
    wait_until("the device is offered the update", async || {
        device.offer().await
    })
    .await?;
    ensure!(device.fail("BUSY").await?, "there is no update");
    report_model(&device, "tower").await?;
    tenant.advance(Duration::from_mins(2));
    let retry = wait_until("the retry ends", async || {
        let updates = tenant.updates(id).await?;
        Ok(updates
            .into_iter()
            .find(|update| update["status"] == "cancelled"))
    })
    .await?;
    let retry = &retry["update_id"];
    wait_for_skip(&tenant, &device, retry).await?;

    let path = format!("updates/{retry}/retry");
    let by_hand = tenant.operator.post(&path, &json!({})).await?;
    let by_hand = by_hand.expect_status(201)?.json()?;
    ensure!(by_hand["status"] == "scheduled", "{by_hand}");
    wait_for_skip(&tenant, &device, &by_hand["update_id"]).await
}

/// That of a device and that of a campaign.
async fn rollbacks_go_to_no_other_board(tenant: IsolatedTenant) -> Result<()> {
    let mut device = tenant.create_devices("edge", 1).await?.remove(0);
    let mut campaign = 0;
    for version in ["1.1.0", "1.2.0"] {
        let firmware = tenant.upload_firmware(version).await?;
        let changes = json!({ "policies": policies() });
        campaign = tenant.start_campaign(firmware, changes).await?;
        wait_until("the device installs the update", async || {
            device.install().await?;
            Ok((device.version == version).then_some(()))
        })
        .await?;
        tenant.wait_for_status(campaign, "completed").await?;
    }
    report_model(&device, "tower").await?;
    let reason = json!({ "reason": "it hums" });
    let path = format!("devices/{}/rollback", device.id);
    let back = tenant.operator.post(&path, &reason).await?;
    let back = back.expect_status(201)?.json()?;
    ensure!(
        back["to_version"] == "1.1.0" && back["status"] == "scheduled",
        "{back}"
    );
    wait_for_skip(&tenant, &device, &back["update_id"]).await?;

    let path = format!("campaigns/{campaign}/rollback");
    tenant
        .operator
        .post(&path, &reason)
        .await?
        .expect_success()?;
    tenant.wait_for_status(campaign, "rolled_back").await?;
    let updates = tenant.updates(campaign).await?;
    let back = updates
        .iter()
        .find(|update| update["to_version"] == "1.1.0");
    let back = back.with_context(|| format!("no rollback: {updates:?}"))?;
    wait_for_skip(&tenant, &device, &back["update_id"]).await
}

async fn mode_latest_offers_nothing_to_another_board(tenant: IsolatedTenant) -> Result<()> {
    let device = tenant.create_devices("edge", 1).await?.remove(0);
    FirmwareForm::new("2.0.0")
        .with(json!({ "device_model": "edge" }))
        .upload(&tenant.publisher)
        .await?;
    let path = format!("devices/{}", device.id);
    let latest = tenant
        .operator
        .request(Method::PATCH, &path)
        .json(&json!({ "mode": "latest" }));
    HttpResponse::fetch(latest).await?.expect_status(200)?;
    let is_offered = async || Ok(device.poll().await?.deployment_base().map(drop));
    wait_until("the device is offered the release", is_offered).await?;
    report_model(&device, "tower").await?;
    ensure!(is_offered().await?.is_none(), "the offer stands");
    let path = format!("devices/{}/updates", device.id);
    let update = tenant.viewer.list(&path).await?.remove(0);
    wait_for_skip(&tenant, &device, &update["update_id"]).await?;
    report_model(&device, "edge").await?;
    wait_until("the device is offered the release again", is_offered).await
}

async fn a_forced_update_goes_to_any_board(tenant: IsolatedTenant) -> Result<()> {
    let device = tenant.create_devices("edge", 1).await?.remove(0);
    let other = tenant.create_devices("other", 1).await?.remove(0);
    let firmware = tenant.upload_firmware("1.1.0").await?;
    for (device, force) in [(&device, true), (&other, false)] {
        let path = format!("devices/{}/update", device.id);
        let body = json!({ "firmware_id": firmware, "force": force });
        let created = tenant.operator.post(&path, &body).await?;
        let created = created.expect_status(201)?.json()?;
        report_model(device, "tower").await?;
        if !force {
            // Another update was checked meanwhile.
            wait_for_skip(&tenant, device, &created["update_id"]).await?;
        }
    }
    let is_offered = device.poll().await?.deployment_base().is_some();
    ensure!(is_offered, "the forced update is not offered");
    let path = format!("devices/{}/explain", device.id);
    let explained = tenant.viewer.get(&path).await?.expect_success()?;
    let reasons = explained["device"]["reasons"].to_string();
    let forced = "an operator forced it: policies do not check its compatibility";
    ensure!(reasons.contains(forced), "{reasons}");
    Ok(())
}

fn policies() -> Value {
    json!([{ "plugin": "hardware", "config": {} }])
}

async fn report_model(device: &Device, model: &str) -> Result<()> {
    Ok(device.report([("hw_model", model)]).await?)
}

/// Waits until an update ends because its device is not compatible. The device is offered nothing.
async fn wait_for_skip(tenant: &IsolatedTenant, device: &Device, update: &Value) -> Result<()> {
    let path = format!("updates/{update}");
    let ended = wait_until("the update ends", async || {
        let shown = tenant.viewer.get(&path).await?.expect_status(200)?.json()?;
        Ok((shown["status"] == "cancelled").then_some(shown))
    })
    .await?;
    ensure!(ended["error_code"] == "INCOMPATIBLE", "{ended}");
    let message = ended["error_message"].as_str().unwrap_or_default();
    ensure!(!message.is_empty(), "{ended}");
    let poll = device.poll().await?;
    ensure!(
        poll.deployment_base().is_none() && poll.confirmation_base().is_none(),
        "{poll:?}"
    );
    Ok(())
}

/// How a device stands in the campaign, and why.
async fn explained(tenant: &IsolatedTenant, device: &Device) -> Result<(String, String)> {
    let path = format!("devices/{}/explain", device.id);
    let explained = tenant.viewer.get(&path).await?.expect_success()?;
    let campaign = &explained["items"][0];
    let standing = campaign["standing"].as_str().unwrap_or_default();
    Ok((standing.to_owned(), campaign["reasons"].to_string()))
}

async fn update_of(tenant: &IsolatedTenant, campaign: i64, device: &str) -> Result<Value> {
    let updates = tenant.updates(campaign).await?;
    let found = updates
        .into_iter()
        .find(|update| update["device_id"] == device);
    Ok(found.unwrap_or_default())
}
