//! Devices that refuse an update.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidegate_e2e::{
    Device, Execution, Feedback, Finished, RestResponse as _, TestTenant, both_databases,
    wait_until,
};

both_databases!(
    a_repeated_refusal_fails_the_update_of_a_campaign,
    a_campaign_can_wait_for_a_device_that_refuses,
    the_option_decides_for_a_single_update,
);

/// The device reads the update and refuses it.
async fn refuse(device: &Device, execution: Execution) -> Result<()> {
    let offer = wait_until("the update is offered", async || device.offer().await).await?;
    let refusal = Feedback {
        messages: vec!["the battery is low".to_owned()],
        ..Feedback::new(execution, Finished::Failure)
    };
    device
        .feedback(&offer.id, &refusal)
        .await?
        .expect_status(200)?;
    Ok(())
}

async fn explain(tenant: &TestTenant, device: &Device) -> Result<Value> {
    let path = format!("devices/{}/explain", device.id);
    tenant.viewer.get(&path).await?.expect_success()
}

async fn a_repeated_refusal_fails_the_update_of_a_campaign(tenant: TestTenant) -> Result<()> {
    let device = tenant.create_devices("edge", 1).await?.swap_remove(0);
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant
        .start_campaign(firmware, json!({ "failure_threshold_percent": 100 }))
        .await?;
    refuse(&device, Execution::Rejected).await?;
    let explained = explain(&tenant, &device).await?["items"][0]["reasons"].to_string();
    let last_report = "the device last reported rejected with the result failure: the battery is low; \
        if the device reads the update again and refuses it again, the update fails";
    ensure!(explained.contains(last_report), "{explained}");
    let update = tenant.updates(id).await?.swap_remove(0);
    ensure!(update["completed_at"].is_null(), "{update}");
    ensure!(update["phase"] == "rejected", "{update}");
    ensure!(update["device_refusal"] == "fail", "{update}");

    refuse(&device, Execution::Rejected).await?;
    let update = tenant.updates(id).await?.swap_remove(0);
    ensure!(update["status"] == "failed", "{update}");
    let explained = explain(&tenant, &device).await?["items"][0]["reasons"].to_string();
    ensure!(explained.contains("the battery is low"), "{explained}");
    ensure!(
        device.offer().await?.is_none(),
        "the update is still offered"
    );
    tenant
        .wait_for_counts(id, json!({ "failed_devices": 1, "in_progress_devices": 0 }))
        .await?;
    Ok(())
}

async fn a_campaign_can_wait_for_a_device_that_refuses(tenant: TestTenant) -> Result<()> {
    let mut device = tenant.create_devices("edge", 1).await?.swap_remove(0);
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant
        .start_campaign(firmware, json!({ "device_refusal": "wait" }))
        .await?;
    let campaign = tenant.get_campaign(id).await?;
    ensure!(campaign["device_refusal"] == "wait", "{campaign}");
    for _ in 0..3 {
        refuse(&device, Execution::Canceled).await?;
    }
    let explained = explain(&tenant, &device).await?["items"][0]["reasons"].to_string();
    let last_report = "the device last reported canceled with the result failure: the battery is low; \
        the update stays on offer until its timeout, because its device_refusal is wait";
    ensure!(explained.contains(last_report), "{explained}");
    ensure!(
        device.install().await?,
        "the update is not offered any more"
    );
    tenant.wait_for_status(id, "completed").await?;
    Ok(())
}

async fn the_option_decides_for_a_single_update(tenant: TestTenant) -> Result<()> {
    let fleet = tenant.create_devices("edge", 2).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    for (device, option, status) in [
        (&fleet[0], json!({}), "failed"),
        (
            &fleet[1],
            json!({ "device_refusal": "wait" }),
            "downloading",
        ),
    ] {
        let mut body = json!({ "firmware_id": firmware });
        let fields = body.as_object_mut().context("an object")?;
        fields.extend(option.as_object().cloned().unwrap_or_default());
        let created = tenant
            .operator
            .post(&format!("devices/{}/update", device.id), &body)
            .await?
            .expect_status(201)?
            .json()?;
        refuse(device, Execution::Canceled).await?;
        let reasons = explain(&tenant, device).await?["device"]["reasons"].to_string();
        let last_report =
            "the device last reported canceled with the result failure: the battery is low";
        ensure!(reasons.contains(last_report), "{reasons}");
        refuse(device, Execution::Canceled).await?;
        let path = format!("updates/{}", created["update_id"]);
        let shown = tenant.viewer.get(&path).await?.expect_success()?;
        ensure!(shown["status"] == status, "{shown}");
    }
    Ok(())
}
