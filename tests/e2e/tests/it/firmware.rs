//! Firmware, from upload to deletion.

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Method;
use serde_json::json;
use tidegate_e2e::{
    FirmwareForm, HttpResponse, RestResponse as _, TestTenant, both_databases, wait_until,
};

both_databases!(
    many_files_and_odd_names,
    modules_without_files_reach_devices,
    modules_with_one_file_name_reach_devices,
    unused_firmware_can_be_deleted,
    names_at_their_limits
);

async fn modules_with_one_file_name_reach_devices(tenant: TestTenant) -> Result<()> {
    let files: [(&str, &[u8]); 2] = [("image.bin", b"root"), ("image.bin", b"application")];
    let listed = json!([{ "filename": "image.bin" }]);
    let modules = json!([
        { "part": "os", "files": listed },
        { "part": "bApp", "name": "app", "version": "7", "files": listed },
    ]);
    let form = FirmwareForm::new("2.0.0").files(&files);
    let form = form.with(json!({ "modules": modules }));
    let id = form.upload(&tenant.publisher).await?;
    let device = tenant.create_devices("edge", 1).await?.swap_remove(0);
    tenant.start_campaign(id, json!({})).await?;
    let offer = wait_until("the update is offered", async || device.offer().await).await?;
    let chunks = &offer.deployment.chunks;
    ensure!(chunks.len() == 2, "{offer:?}");
    for (chunk, (name, bytes)) in chunks.iter().zip(files) {
        let [file] = &chunk.artifacts[..] else {
            bail!("not one file: {chunk:?}");
        };
        ensure!(file.filename == name, "{file:?}");
        let link = file.href().context("no link")?;
        let fetched = device.get(link).await?.expect_status(200)?;
        ensure!(fetched.body == bytes, "{}: {fetched}", chunk.part);
    }
    // The hashes are those of the module's file.
    ensure!(device.download(&offer).await?, "the update is cancelled");
    Ok(())
}

async fn many_files_and_odd_names(tenant: TestTenant) -> Result<()> {
    let files: [(&str, &[u8]); 4] = [
        ("rootfs.squashfs", b"root"),
        ("release notes (1).txt", b"notes"),
        ("прошивка #7 100%.bin", b"unicode"),
        ("a;b=\"c\"+d&e.bin", b"signs"),
    ];
    let contents = |at: usize| json!({ "filename": files[at].0 });
    let modules = json!([
        { "part": "os", "files": [contents(0)] },
        { "part": "bApp", "name": "docs", "version": "7", "files": [contents(1), contents(2), contents(3)] },
    ]);
    let form = FirmwareForm::new("2.0.0")
        .files(&files)
        .with(json!({ "modules": modules, "metadata": { "site": "dock" } }));
    let id = form.upload(&tenant.publisher).await?;
    let shown = tenant
        .viewer
        .get(&format!("firmware/{id}"))
        .await?
        .expect_status(200)?
        .json()?;
    ensure!(
        shown["modules"][1]["version"] == "7" && shown["file_size"] == 21,
        "{shown}"
    );

    let mut device = tenant.create_devices("edge", 1).await?.swap_remove(0);
    let campaign = tenant.start_campaign(id, json!({})).await?;
    tenant
        .wait_for_counts(campaign, json!({ "in_progress_devices": 1 }))
        .await?;
    let offer = device.offer().await?.context("no offer")?;
    let mut names: Vec<_> = offer
        .artifacts()
        .map(|file| file.filename.as_str())
        .collect();
    names.sort_unstable();
    let mut expected = files.map(|(name, _)| name);
    expected.sort_unstable();
    ensure!(names == expected, "{names:?}");
    // Every link leads to its file, as does the link to its MD5 sum.
    device.download(&offer).await?;
    for file in offer.artifacts() {
        let (name, md5) = (&file.filename, &file.hashes.md5);
        let link = file.md5sum_http_href().context("no link")?;
        let sum = device.get(link).await?.expect_status(200)?;
        let (found, of) = sum.body.split_at_checked(32).context("no sum")?;
        ensure!(found == md5.as_bytes(), "{sum}");
        // The file has no room for non-ASCII names.
        ensure!(
            !name.is_ascii() || of == format!("  {name}").as_bytes(),
            "{sum}"
        );
    }
    device.install().await?;
    tenant.wait_for_status(campaign, "completed").await?;

    let refused = tenant
        .viewer
        .get(&format!("firmware/{id}/download"))
        .await?;
    refused.expect_problem(422, "file_needed")?;
    let one = tenant
        .viewer
        .get(&format!(
            "firmware/{id}/download?file=release%20notes%20(1).txt"
        ))
        .await?
        .expect_status(200)?;
    ensure!(one.body == "notes", "{one}");
    Ok(())
}

/// Devices that fetch the content elsewhere (`OSTree`, container registries) get modules with metadata alone.
async fn modules_without_files_reach_devices(tenant: TestTenant) -> Result<()> {
    let commit = json!([{ "key": "commit", "value": "4f3a" }]);
    let modules = json!([{ "part": "os", "name": "ostree", "metadata": commit }]);
    let form = FirmwareForm::new("2.0.0").files(&[]);
    form.send(&tenant.publisher)
        .await?
        .expect_problem(422, "invalid_firmware")?;
    let id = form
        .with(json!({ "modules": modules }))
        .upload(&tenant.publisher)
        .await?;
    let shown = tenant.viewer.get(&format!("firmware/{id}")).await?;
    let shown = shown.expect_success()?;
    ensure!(shown["file_size"] == 0, "{shown}");
    tenant
        .viewer
        .get(&format!("firmware/{id}/download"))
        .await?
        .expect_problem(404, "not_found")?;

    let mut device = tenant.create_devices("edge", 1).await?.swap_remove(0);
    let campaign = tenant.start_campaign(id, json!({})).await?;
    tenant
        .wait_for_counts(campaign, json!({ "in_progress_devices": 1 }))
        .await?;
    let offer = device.offer().await?.context("no offer")?;
    let module = offer.deployment.chunks.first().context("no module")?;
    ensure!(
        module.name == "ostree"
            && module.artifacts.is_empty()
            && module.metadata[0].value == "4f3a",
        "{offer:?}"
    );
    device.install().await?;
    tenant.wait_for_status(campaign, "completed").await?;
    Ok(())
}

async fn unused_firmware_can_be_deleted(tenant: TestTenant) -> Result<()> {
    let mut device = tenant.create_devices("edge", 1).await?.swap_remove(0);
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant.start_campaign(firmware, json!({})).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    let delete = async || {
        HttpResponse::fetch(
            tenant
                .publisher
                .request(Method::DELETE, &format!("firmware/{firmware}")),
        )
        .await
    };
    delete().await?.expect_problem(409, "firmware_in_use")?;
    ensure!(
        device.install().await?,
        "the device has no update to install"
    );
    tenant.wait_for_status(id, "completed").await?;
    delete().await?.expect_status(204)?;
    ensure!(
        tenant.viewer.list("firmware").await?.is_empty(),
        "the deleted firmware is listed"
    );

    // A device that installed it may download it again, but no other device gets it.
    let offer = device.installed().await?.context("no link")?;
    ensure!(offer.artifacts().count() == 1, "{offer:?}");
    device.download(&offer).await?;
    let refused = tenant
        .operator
        .post("campaigns", &TestTenant::campaign_body(firmware))
        .await?;
    refused.expect_problem(422, "invalid_campaign")?;
    delete().await?.expect_problem(404, "not_found")?;
    Ok(())
}

async fn names_at_their_limits(tenant: TestTenant) -> Result<()> {
    let form = FirmwareForm::new(&format!("1.0.0-{}", "x".repeat(44))).with(json!({
        "name": "ü".repeat(200),
        "device_model": "m".repeat(100),
        "manufacturer": "m".repeat(100),
        "min_hardware_version": "1.0",
        "max_hardware_version": "1.0",
        "tags": vec!["t"; 50],
    }));
    let long = "f".repeat(255);
    let firmware = form
        .files(&[(&long, b"x")])
        .upload(&tenant.publisher)
        .await?;
    let found = tenant
        .viewer
        .list(&format!("firmware?device_model={}", "m".repeat(100)))
        .await?;
    ensure!(
        found.len() == 1 && found[0]["firmware_id"] == firmware,
        "{found:?}"
    );
    tenant
        .create_campaign(
            firmware,
            json!({ "name": "🌊".repeat(200), "timeout_minutes": 5 }),
        )
        .await?;
    tenant
        .create_campaign(firmware, json!({ "name": "x", "timeout_minutes": 1440 }))
        .await?;
    let body = json!({ "device_id": "д".repeat(256), "name": "n".repeat(200), "groups": vec!["g".repeat(100)] });
    tenant
        .operator
        .post("devices", &body)
        .await?
        .expect_status(201)?;
    let device = tenant
        .viewer
        .get(&format!("devices/{}", "%D0%B4".repeat(256)))
        .await?
        .expect_status(200)?
        .json()?;
    ensure!(device["device_id"] == "д".repeat(256), "{device}");
    Ok(())
}
