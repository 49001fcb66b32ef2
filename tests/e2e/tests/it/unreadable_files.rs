//! Files that the server cannot read.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tidegate_e2e::{
    Device, FirmwareForm, IsolatedTenant, RestResponse as _, both_databases, wait_until,
};

both_databases!(
    an_unreadable_file_is_explained_for_the_device,
    a_file_that_is_damaged_and_repaired_is_installed
);

async fn an_unreadable_file_is_explained_for_the_device(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 2).await?;
    let bytes: Vec<u8> = (0..=250_u8).cycle().take(300_000).collect();
    let digits = hex::encode(Sha256::digest(&bytes));
    let form = FirmwareForm::new("2.0.0").files(&[("edge.bin", &bytes)]);
    let firmware = form.upload(&tenant.publisher).await?;
    let folder = tenant.server.dir().join("artifacts/sha256");
    let stored = folder.join(&digits[..2]).join(&digits);
    // A campaign for the first device, a single update for the second.
    let targets = json!({ "target_filter": null, "target_devices": ["edge-0"] });
    let id = tenant.start_campaign(firmware, targets).await?;
    tenant
        .operator
        .post("devices/edge-1/update", &json!({ "firmware_id": firmware }))
        .await?
        .expect_status(201)?;

    for (damage, expected) in [
        ("cut", "ends at byte 100000"),
        ("lost", "the artifact store has lost the file"),
    ] {
        if damage == "cut" {
            fs::write(&stored, &bytes[..100_000])?;
        } else {
            fs::remove_file(&stored)?;
        }
        for device in &fleet {
            fetch_in_vain(device).await?;
            let path = format!("devices/{}/explain", device.id);
            wait_until("the failure is explained", async || {
                let explained = tenant
                    .viewer
                    .get(&path)
                    .await?
                    .expect_success()?
                    .to_string();
                let named = format!("edge.bin (sha256:{digits})");
                let is_explained = explained.contains("the device could not fetch a file")
                    && explained.contains(&named)
                    && explained.contains(expected);
                Ok(is_explained.then_some(()))
            })
            .await?;
        }
    }

    // Another firmware with the same file brings the file back.
    let again = FirmwareForm::new("2.0.1").files(&[("edge.bin", &bytes)]);
    again.upload(&tenant.publisher).await?;
    for device in &mut fleet {
        ensure!(device.install().await?, "there is no update to install");
        let path = format!("devices/{}/explain", device.id);
        let explained = tenant
            .viewer
            .get(&path)
            .await?
            .expect_success()?
            .to_string();
        ensure!(!explained.contains("could not fetch"), "{explained}");
    }
    tenant.wait_for_status(id, "completed").await?;

    // So it does with a file that is damaged.
    let mut changed = bytes.clone();
    changed[200_000] ^= 1;
    for (version, damaged) in [
        ("2.0.2", &bytes[1..]),
        ("2.0.3", &bytes[..100_000]),
        ("2.0.4", &changed),
    ] {
        fs::write(&stored, damaged)?;
        let again = FirmwareForm::new(version).files(&[("edge.bin", &bytes)]);
        again.upload(&tenant.publisher).await?;
        ensure!(fs::read(&stored)? == bytes, "the file is still damaged");
    }
    Ok(())
}

async fn a_file_that_is_damaged_and_repaired_is_installed(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 1).await?;
    let bytes: Vec<u8> = (0..=240_u8).cycle().take(300_000).collect();
    let digits = hex::encode(Sha256::digest(&bytes));
    let form = FirmwareForm::new("2.0.0").files(&[("edge.bin", &bytes)]);
    let firmware = form.upload(&tenant.publisher).await?;
    let folder = tenant.server.dir().join("artifacts/sha256");
    let stored = folder.join(&digits[..2]).join(&digits);
    tenant
        .operator
        .post("devices/edge-0/update", &json!({ "firmware_id": firmware }))
        .await?
        .expect_status(201)?;
    // Of the same length, in the middle of the file.
    let mut changed = bytes.clone();
    changed[100_000] ^= 1;
    fs::write(&stored, &changed)?;
    let device = &mut fleet[0];
    let offer = wait_until("the update is offered", async || device.offer().await).await?;
    let link = offer.artifacts().next().and_then(|file| file.href());
    let link = link.context("no link")?;
    let cut = device.get(link).await;
    ensure!(cut.is_err(), "the damaged file was sent to its end");
    fetch_in_vain(device).await?;

    // This server knows at once that the file is intact again.
    let again = FirmwareForm::new("2.0.1").files(&[("edge.bin", &bytes)]);
    again.upload(&tenant.publisher).await?;
    ensure!(device.install().await?, "there is no update to install");
    Ok(())
}

async fn fetch_in_vain(device: &Device) -> Result<()> {
    let offer = wait_until("the update is offered", async || device.offer().await).await?;
    let file = offer.artifacts().next().context("no file")?;
    let link = file.href().context("no link")?;
    let response = device.get(link).await?;
    ensure!(response.status == 500, "{response}");
    Ok(())
}
