use std::path::Path;

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::json;
use tidegate_e2e::{
    ConfigData, Device, FirmwareForm, HttpResponse, IsolatedTenant, RestResponse as _,
    both_databases, wait_until,
};

use super::update_device;

both_databases!(
    mode_latest_offers_the_newest_release,
    mode_latest_does_not_offer_a_failed_release_again,
    mode_latest_reads_hardware_from_images,
    mode_latest_orders_versions_that_are_not_semver,
);

async fn upload(tenant: &IsolatedTenant, version: &str, beta: bool) -> Result<i64> {
    let details = json!({ "device_model": "edge", "is_beta": beta });
    FirmwareForm::new(version)
        .with(details)
        .upload(&tenant.publisher)
        .await
}

async fn install_until(device: &mut Device, version: &str) -> Result<()> {
    wait_until(&format!("{} is on {version}", device.id), async || {
        device.install().await?;
        Ok((device.version == version).then_some(()))
    })
    .await
}

async fn reasons(tenant: &IsolatedTenant) -> Result<String> {
    reasons_of(tenant, "edge-0").await
}

async fn reasons_of(tenant: &IsolatedTenant, device: &str) -> Result<String> {
    let explained = tenant
        .viewer
        .get(&format!("devices/{device}/explain"))
        .await?;
    let explained = explained.expect_success()?;
    let reasons = explained["device"]["reasons"]
        .as_array()
        .into_iter()
        .flatten();
    let reasons: Vec<_> = reasons.filter_map(|reason| reason.as_str()).collect();
    Ok(reasons.join("; "))
}

async fn mode_latest_offers_the_newest_release(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 2).await?;
    upload(&tenant, "2.0.0", false).await?;
    update_device(&tenant, "edge-0", json!({ "mode": "latest" })).await?;
    install_until(&mut fleet[0], "2.0.0").await?;

    update_device(&tenant, "edge-0", json!({ "pinned": true })).await?;
    upload(&tenant, "1.5.0", false).await?;
    let three = upload(&tenant, "3.0.0", false).await?;
    upload(&tenant, "4.0.0", true).await?;
    let other = json!({ "device_model": "else" });
    FirmwareForm::new("5.0.0")
        .with(other)
        .upload(&tenant.publisher)
        .await?;
    update_device(&tenant, "edge-0", json!({ "pinned": false })).await?;
    install_until(&mut fleet[0], "3.0.0").await?;
    let updates = tenant.viewer.list("devices/edge-0/updates").await?;
    ensure!(updates.len() == 2, "{updates:?}");
    ensure!(
        updates[0]["firmware_id"] == three && updates[0]["campaign_id"].is_null(),
        "{updates:?}"
    );
    let reasons = reasons(&tenant).await?;
    ensure!(
        reasons.contains("4.0.0: it is a beta")
            && reasons.contains("3.0.0 is not newer")
            && reasons.contains("chooses no firmware"),
        "{reasons}"
    );
    let rest = tenant.viewer.list("devices/edge-1/updates").await?;
    ensure!(rest.is_empty(), "{rest:?}");
    Ok(())
}

async fn mode_latest_does_not_offer_a_failed_release_again(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 1).await?;
    update_device(&tenant, "edge-0", json!({ "mode": "latest" })).await?;
    upload(&tenant, "2.0.0", false).await?;
    wait_until("the update failed", async || {
        Ok(fleet[0].fail("worn out").await?.then_some(()))
    })
    .await?;
    // The next release is selected after the failure was processed; if 2.0.0 had been offered again, it would be
    // listed.
    fleet[0].report([("sw_version", "1.0.1")]).await?;
    upload(&tenant, "3.0.0", false).await?;
    install_until(&mut fleet[0], "3.0.0").await?;

    // It reports an old version, repeatedly.
    for _ in 0..3 {
        fleet[0].report([("sw_version", "1.0.0")]).await?;
        ensure!(fleet[0].poll().await?.deployment_base().is_none());
    }
    upload(&tenant, "4.0.0", false).await?;
    fleet[0].report([("sw_version", "3.0.0")]).await?;
    install_until(&mut fleet[0], "4.0.0").await?;
    let updates = tenant.viewer.list("devices/edge-0/updates").await?;
    let versions: Vec<_> = updates
        .iter()
        .map(|update| update["to_version"].clone())
        .collect();
    ensure!(versions == ["4.0.0", "3.0.0", "2.0.0"], "{updates:?}");
    Ok(())
}

/// An image made by the real tools.
fn fixture(name: &str) -> Result<Vec<u8>> {
    let images = "../../host/images/tests/fixtures";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(images);
    Ok(std::fs::read(folder.join(name))?)
}

async fn mode_latest_reads_hardware_from_images(tenant: IsolatedTenant) -> Result<()> {
    // newc.swu 1.4.0 lists the revisions 1.0 and 1.2, verity.raucb 1.4.0 is for `Tide Dock`.
    let mut fleet = tenant.create_devices("edge", 3).await?;
    for (device, hardware) in fleet.iter().zip([
        ConfigData::merge([("hw_boardname", "dock"), ("hw_revision", "1.2")]).without("hw_model"),
        ConfigData::merge([("hw_boardname", "dock"), ("hw_revision", "2.0")]).without("hw_model"),
        ConfigData::merge([("hw_model", "Tide Dock"), ("hw_revision", "7")]),
    ]) {
        device.report_config(&hardware).await?;
        update_device(&tenant, &device.id, json!({ "mode": "latest" })).await?;
    }
    FirmwareForm::new("4.0.0")
        .with(json!({ "device_model": null }))
        .upload(&tenant.publisher)
        .await?;
    for (name, file) in [
        ("newc.swu", "dock-1.4.0.swu"),
        ("verity.raucb", "dock.raucb"),
    ] {
        let mut form = FirmwareForm::new("1.4.0").files(&[(file, &fixture(name)?)]);
        form.metadata = json!({});
        form.upload(&tenant.publisher).await?;
    }
    install_until(&mut fleet[0], "1.4.0").await?;
    install_until(&mut fleet[2], "1.4.0").await?;
    let reasons_text = reasons_of(&tenant, "edge-1").await?;
    ensure!(
        reasons_text.contains("hardware: The hardware revision is 2.0")
            && reasons_text.contains("4.0.0: neither its upload nor its image names the hardware")
            && reasons_text.contains("chooses no firmware"),
        "{reasons_text}"
    );
    let rest = tenant.viewer.list("devices/edge-1/updates").await?;
    ensure!(rest.is_empty(), "{rest:?}");
    Ok(())
}

async fn mode_latest_orders_versions_that_are_not_semver(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 1).await?;
    update_device(&tenant, "edge-0", json!({ "mode": "latest" })).await?;
    ensure!(upload(&tenant, "2026.05.1.7", false).await.is_err());
    let loose = json!({ "versions": "loose" });
    let request = tenant.admin.request(Method::PATCH, "settings").json(&loose);
    HttpResponse::fetch(request).await?.expect_status(200)?;
    for version in ["2026.05.1.7", "2026.05.1.10", "2026.05", "nightly"] {
        upload(&tenant, version, false).await?;
    }
    install_until(&mut fleet[0], "2026.05.1.10").await?;
    let reasons = reasons(&tenant).await?;
    ensure!(
        reasons.contains("nightly: its version has no order")
            && reasons.contains("2026.05.1.10 is not newer"),
        "{reasons}"
    );
    Ok(())
}
