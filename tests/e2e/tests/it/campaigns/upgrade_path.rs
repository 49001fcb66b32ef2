//! Campaigns whose devices have to install an intermediate version first.

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_e2e::{
    Device, HttpResponse, IsolatedTenant, RestResponse as _, both_databases, wait_until,
};

both_databases!(
    a_device_on_1_0_gets_1_5_and_then_2_0,
    a_class_without_its_intermediate_version_is_excluded,
    a_failed_intermediate_version_is_the_failure_of_the_device,
    a_campaign_that_is_cancelled_between_two_steps_ends_there,
);

const REASON: &str = "tidegate/version-path: needs 1.5.0 first: An update from 1.0.0 to 2.0.0 must go through 1.5.0.";

/// Devices below 1.5 have to install it before 2.0.
fn policies() -> Value {
    json!({ "policies": [
        { "plugin": "hardware", "config": {} },
        { "plugin": "version-path", "config": {
            "intermediate": [{ "from": "<1.5.0", "to": ">=2.0.0", "via": "1.5.0" }],
        } },
    ] })
}

/// Waits until the device is offered this version.
async fn wait_for_offer(device: &Device, version: &str) -> Result<()> {
    let offer = wait_until("the device is offered an update", async || {
        device.offer().await
    })
    .await?;
    let offered = offer.version();
    ensure!(offered == version, "{offered} is offered before {version}");
    Ok(())
}

async fn explained(tenant: &IsolatedTenant, device: &Device) -> Result<(String, String)> {
    let path = format!("devices/{}/explain", device.id);
    let explained = tenant.viewer.get(&path).await?.expect_success()?;
    let campaign = &explained["items"][0];
    let standing = campaign["standing"].as_str().unwrap_or_default();
    Ok((standing.to_owned(), campaign["reasons"].to_string()))
}

async fn a_device_on_1_0_gets_1_5_and_then_2_0(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 2).await?;
    fleet[1].report([("sw_version", "1.6.0")]).await?;
    let intermediate = tenant.upload_firmware("1.5.0").await?;
    let target = tenant.upload_firmware("2.0.0").await?;
    let id = tenant.start_campaign(target, policies()).await?;
    wait_for_offer(&fleet[1], "2.0.0").await?;
    wait_for_offer(&fleet[0], "1.5.0").await?;
    let (standing, reasons) = explained(&tenant, &fleet[0]).await?;
    ensure!(standing == "admitted", "{standing}");
    let sentence = format!(
        "1.5.0 is an intermediate version on its way to 2.0.0 (firmware {target}): {REASON}"
    );
    ensure!(reasons.contains(&sentence), "{reasons}");
    let path = format!("firmware/{intermediate}");
    let deletion = tenant.publisher.request(Method::DELETE, &path);
    HttpResponse::fetch(deletion).await?.expect_status(409)?;

    ensure!(fleet[0].install().await?, "there is no update");
    ensure!(fleet[1].install().await?, "there is no update");
    let counts = json!({ "in_progress_devices": 1, "completed_devices": 1 });
    tenant.wait_for_counts(id, counts).await?;
    wait_for_offer(&fleet[0], "2.0.0").await?;
    ensure!(fleet[0].install().await?, "there is no update");
    let campaign = tenant.wait_for_status(id, "completed").await?;
    ensure!(campaign["completed_devices"] == 2, "{campaign}");

    let history = tenant.viewer.get("devices/edge-0/updates").await?;
    let history = history.expect_success()?["items"].clone();
    let path_of = |reason: Value, installed: Value| {
        json!({
            "target_firmware_id": target, "target_version": "2.0.0",
            "installed_versions": installed, "reason": reason,
        })
    };
    for (update, version, is_retried, path) in [
        (
            &history[0],
            "2.0.0",
            false,
            path_of(Value::Null, json!(["1.5.0"])),
        ),
        (
            &history[1],
            "1.5.0",
            true,
            path_of(json!(REASON), json!([])),
        ),
    ] {
        ensure!(update["to_version"] == version, "{update}");
        ensure!(update["status"] == "completed", "{update}");
        ensure!(update["is_retried"] == is_retried, "{update}");
        ensure!(update["upgrade_path"] == path, "{update}");
    }
    let direct = tenant.viewer.get("devices/edge-1/updates").await?;
    let direct = direct.expect_success()?["items"][0].clone();
    ensure!(direct["upgrade_path"].is_null(), "{direct}");
    let deletion = tenant
        .publisher
        .request(Method::DELETE, &format!("firmware/{intermediate}"));
    HttpResponse::fetch(deletion).await?.expect_status(204)?;
    Ok(())
}

async fn a_class_without_its_intermediate_version_is_excluded(
    tenant: IsolatedTenant,
) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 2).await?;
    fleet[1].report([("sw_version", "1.6.0")]).await?;
    let target = tenant.upload_firmware("2.0.0").await?;
    let id = tenant.start_campaign(target, policies()).await?;
    wait_for_offer(&fleet[1], "2.0.0").await?;
    let (standing, reasons) = explained(&tenant, &fleet[0]).await?;
    ensure!(standing == "excluded", "{standing}");
    let why = "must go through 1.5.0; there is no firmware edge-os 1.5.0 for model edge: upload it, then start or retry again";
    ensure!(reasons.contains(why), "{reasons}");
    ensure!(fleet[1].install().await?, "there is no update");
    tenant.wait_for_status(id, "completed").await?;
    ensure!(fleet[0].offer().await?.is_none(), "it is offered an update");

    tenant.upload_firmware("1.5.0").await?;
    tenant.start_campaign(target, policies()).await?;
    wait_for_offer(&fleet[0], "1.5.0").await
}

async fn a_failed_intermediate_version_is_the_failure_of_the_device(
    tenant: IsolatedTenant,
) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 1).await?;
    tenant.upload_firmware("1.5.0").await?;
    let target = tenant.upload_firmware("2.0.0").await?;
    let id = tenant.start_campaign(target, policies()).await?;
    wait_for_offer(&fleet[0], "1.5.0").await?;
    ensure!(fleet[0].fail("FLASH_ERROR").await?, "there is no update");
    let counts = json!({ "failed_devices": 1, "in_progress_devices": 0 });
    tenant.wait_for_counts(id, counts).await?;
    let wave = tenant.waves(id).await?.remove(0);
    let failures = wave["failures"].to_string();
    ensure!(failures.contains("\"devices\":1"), "{wave}");
    let updates = tenant.updates(id).await?;
    ensure!(updates.len() == 1, "{updates:?}");
    ensure!(fleet[0].offer().await?.is_none(), "it is offered 2.0.0");
    Ok(())
}

async fn a_campaign_that_is_cancelled_between_two_steps_ends_there(
    tenant: IsolatedTenant,
) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 1).await?;
    tenant.upload_firmware("1.5.0").await?;
    let target = tenant.upload_firmware("2.0.0").await?;
    let id = tenant.start_campaign(target, policies()).await?;
    wait_for_offer(&fleet[0], "1.5.0").await?;
    // A paused campaign offers no next step.
    tenant.send_command(id, "pause").await?;
    ensure!(fleet[0].install().await?, "there is no update");
    tenant.send_command(id, "cancel").await?;
    let counts = json!({ "cancelled_devices": 1, "completed_devices": 0 });
    tenant.wait_for_counts(id, counts).await?;
    ensure!(fleet[0].offer().await?.is_none(), "it is offered 2.0.0");
    let newest = tenant.updates(id).await?;
    let newest = newest.first().context("an update")?;
    ensure!(newest["status"] == "cancelled", "{newest}");
    ensure!(newest["to_version"] == "2.0.0", "{newest}");
    Ok(())
}
