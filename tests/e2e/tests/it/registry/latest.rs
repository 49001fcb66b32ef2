use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::json;
use tidegate_e2e::{Alone, Device, FirmwareForm, both_databases, until};

use super::set;

both_databases!(
    a_device_in_mode_latest_gets_the_newest_release_by_itself,
    a_device_that_fails_the_latest_is_not_sent_round,
    images_say_for_whom_the_latest_is,
);

async fn upload(lab: &Alone, version: &str, beta: bool) -> Result<i64> {
    let details = json!({ "device_model": "edge", "is_beta": beta });
    FirmwareForm::new(version)
        .with(details)
        .upload(&lab.publisher)
        .await
}

async fn until_installed(device: &mut Device, version: &str) -> Result<()> {
    until(&format!("{} is on {version}", device.id), async || {
        device.install().await?;
        Ok((device.version == version).then_some(()))
    })
    .await
}

async fn reasons(lab: &Alone) -> Result<String> {
    reasons_of(lab, "edge-0").await
}

async fn reasons_of(lab: &Alone, device: &str) -> Result<String> {
    let explained = lab.viewer.get(&format!("devices/{device}/explain")).await?;
    let explained = explained.ok()?;
    let reasons = explained["device"]["reasons"]
        .as_array()
        .into_iter()
        .flatten();
    let reasons: Vec<_> = reasons.filter_map(|reason| reason.as_str()).collect();
    Ok(reasons.join("; "))
}

async fn a_device_in_mode_latest_gets_the_newest_release_by_itself(lab: Alone) -> Result<()> {
    let mut fleet = lab.fleet("edge", 2).await?;
    upload(&lab, "2.0.0", false).await?;
    set(&lab, "edge-0", json!({ "mode": "latest" })).await?;
    until_installed(&mut fleet[0], "2.0.0").await?;

    set(&lab, "edge-0", json!({ "pinned": true })).await?;
    upload(&lab, "1.5.0", false).await?;
    let three = upload(&lab, "3.0.0", false).await?;
    upload(&lab, "4.0.0", true).await?;
    let other = json!({ "device_model": "else" });
    FirmwareForm::new("5.0.0")
        .with(other)
        .upload(&lab.publisher)
        .await?;
    set(&lab, "edge-0", json!({ "pinned": false })).await?;
    until_installed(&mut fleet[0], "3.0.0").await?;
    let updates = lab.viewer.list("devices/edge-0/updates").await?;
    ensure!(updates.len() == 2, "{updates:?}");
    ensure!(
        updates[0]["firmware_id"] == three && updates[0]["campaign_id"].is_null(),
        "{updates:?}"
    );
    let reasons = reasons(&lab).await?;
    ensure!(
        reasons.contains("4.0.0: it is a beta")
            && reasons.contains("3.0.0 is not newer")
            && reasons.contains("chooses nothing"),
        "{reasons}"
    );
    let rest = lab.viewer.list("devices/edge-1/updates").await?;
    ensure!(rest.is_empty(), "{rest:?}");
    Ok(())
}

async fn a_device_that_fails_the_latest_is_not_sent_round(lab: Alone) -> Result<()> {
    let mut fleet = lab.fleet("edge", 1).await?;
    set(&lab, "edge-0", json!({ "mode": "latest" })).await?;
    upload(&lab, "2.0.0", false).await?;
    until("it failed", async || {
        Ok(fleet[0].fail("worn out").await?.then_some(()))
    })
    .await?;
    // What comes next is chosen after the failure was looked at: had it been offered 2.0.0 again, it would show.
    fleet[0].report(json!({ "sw_version": "1.0.1" })).await?;
    upload(&lab, "3.0.0", false).await?;
    until_installed(&mut fleet[0], "3.0.0").await?;

    // It starts again with what it had, as often as it likes.
    for _ in 0..3 {
        fleet[0].report(json!({ "sw_version": "1.0.0" })).await?;
        ensure!(fleet[0].poll().await?.deployment().is_none());
    }
    upload(&lab, "4.0.0", false).await?;
    fleet[0].report(json!({ "sw_version": "3.0.0" })).await?;
    until_installed(&mut fleet[0], "4.0.0").await?;
    let updates = lab.viewer.list("devices/edge-0/updates").await?;
    let told: Vec<_> = updates
        .iter()
        .map(|update| update["to_version"].clone())
        .collect();
    ensure!(told == ["4.0.0", "3.0.0", "2.0.0"], "{updates:?}");
    Ok(())
}

/// An image that real tools made.
fn fixture(name: &str) -> Result<Vec<u8>> {
    let images = "../../host/images/tests/fixtures";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(images);
    Ok(std::fs::read(folder.join(name))?)
}

async fn images_say_for_whom_the_latest_is(lab: Alone) -> Result<()> {
    // newc.swu 1.4.0 lists the revisions 1.0 and 1.2, verity.raucb 1.4.0 is for `Tide Dock`.
    let mut fleet = lab.fleet("edge", 3).await?;
    for (device, hardware) in fleet.iter().zip([
        json!({ "hw_boardname": "dock", "hw_model": null, "hw_revision": "1.2" }),
        json!({ "hw_boardname": "dock", "hw_model": null, "hw_revision": "2.0" }),
        json!({ "hw_model": "Tide Dock", "hw_revision": "7" }),
    ]) {
        device.report(hardware).await?;
        set(&lab, &device.id, json!({ "mode": "latest" })).await?;
    }
    FirmwareForm::new("4.0.0")
        .with(json!({ "device_model": null }))
        .upload(&lab.publisher)
        .await?;
    for (name, file) in [
        ("newc.swu", "dock-1.4.0.swu"),
        ("verity.raucb", "dock.raucb"),
    ] {
        let mut form = FirmwareForm::new("1.4.0").files(&[(file, &fixture(name)?)]);
        form.metadata = json!({});
        form.upload(&lab.publisher).await?;
    }
    until_installed(&mut fleet[0], "1.4.0").await?;
    until_installed(&mut fleet[2], "1.4.0").await?;
    let said = reasons_of(&lab, "edge-1").await?;
    ensure!(
        said.contains("hardware: The hardware revision is 2.0")
            && said.contains("4.0.0: neither its upload nor its image says")
            && said.contains("chooses nothing"),
        "{said}"
    );
    let rest = lab.viewer.list("devices/edge-1/updates").await?;
    ensure!(rest.is_empty(), "{rest:?}");
    Ok(())
}
