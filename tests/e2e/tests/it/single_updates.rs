//! Updates of single devices, from the operator's request to the final feedback.

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_e2e::{
    Device, Events, Execution, Feedback, Finished, RestResponse as _, TestTenant, both_databases,
    close,
};

both_databases!(
    a_device_is_updated_and_rolled_back,
    an_update_is_cancelled_and_retried,
    a_rollback_cancels_open_updates
);

async fn a_device_is_updated_and_rolled_back(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 2).await?;
    let first = tenant.upload_firmware("1.1.0").await?;
    let second = tenant.upload_firmware("1.2.0").await?;
    for (firmware, version) in [(first, "1.1.0"), (second, "1.2.0")] {
        let created = create_update(&tenant, &fleet[0], firmware).await?;
        ensure!(created["status"] == "offered", "{created}");
        ensure!(created["campaign_id"].is_null(), "{created}");
        ensure!(
            fleet[0].install().await?,
            "the device has no update to install"
        );
        ensure!(fleet[0].version == version, "{}", fleet[0].version);
        let shown = get_update(&tenant, &created).await?;
        ensure!(shown["status"] == "completed", "{shown}");
    }
    let device = fleet[0].id.clone();
    let body = json!({ "reason": "it hums" });
    let rollback = tenant
        .operator
        .post(&format!("devices/{device}/rollback"), &body)
        .await?
        .expect_status(201)?
        .json()?;
    ensure!(rollback["to_version"] == "1.1.0", "{rollback}");
    ensure!(
        fleet[0].install().await?,
        "the device has no rollback update"
    );
    ensure!(fleet[0].version == "1.1.0", "{}", fleet[0].version);
    ensure!(!fleet[1].install().await?, "the other device has an update");

    let history = tenant
        .viewer
        .get(&format!("devices/{device}/updates"))
        .await?
        .expect_success()?;
    ensure!(history["total"] == 3, "{history}");
    ensure!(history["success_rate"] == 100.0, "{history}");
    Ok(())
}

async fn an_update_is_cancelled_and_retried(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 1).await?;
    let device = &mut fleet[0];
    let firmware = tenant.upload_firmware("1.1.0").await?;
    let created = create_update(&tenant, device, firmware).await?;
    let path = format!("updates/{}", created["update_id"]);
    let mut events = Events::follow(&tenant.viewer, &format!("{path}/log")).await?;

    let offered = device.offer().await?.context("no offer")?;
    let started = Feedback {
        messages: vec!["erasing".to_owned()],
        ..Feedback::new(Execution::Proceeding, Finished::None)
    };
    device
        .feedback(&offered.id, &started)
        .await?
        .expect_status(200)?;
    let lines = device
        .request(Method::PUT, "log")
        .header("content-type", "text/plain")
        .body("block 1\nblock 2\n");
    ensure!(
        lines.send().await?.status() == 200,
        "the device's log lines were rejected"
    );

    let body = json!({ "reason": "the wrong one" });
    let called = tenant
        .operator
        .post(&format!("{path}/cancel"), &body)
        .await?
        .expect_success()?;
    ensure!(called["status"] == "cancelling", "{called}");
    let poll = device.poll().await?;
    ensure!(
        poll.cancel_action().is_some() && poll.deployment_base().is_none(),
        "{poll:?}"
    );
    device
        .cancel_feedback(&offered.id, &close(Finished::Success))
        .await?
        .expect_status(200)?;
    let shown = get_update(&tenant, &created).await?;
    ensure!(shown["status"] == "cancelled", "{shown}");

    let seen = events.collect_until(|event| event.name == "end").await?;
    let lines: Vec<&str> = seen
        .iter()
        .filter_map(|event| event.data["text"].as_str())
        .collect();
    ensure!(
        lines.starts_with(&["erasing", "block 1", "block 2"]),
        "{lines:?}"
    );
    ensure!(
        lines.iter().any(|line| line.ends_with(": the wrong one")),
        "{lines:?}"
    );
    let end = seen.last().context("no event")?;
    ensure!(end.data["status"] == "cancelled", "{end:?}");

    let again = tenant
        .operator
        .post(&format!("{path}/retry"), &json!({}))
        .await?;
    let again = again.expect_status(201)?.json()?;
    ensure!(again["update_id"] != created["update_id"], "{again}");
    ensure!(
        device.install().await?,
        "the device has no update to install"
    );
    ensure!(
        get_update(&tenant, &again).await?["status"] == "completed",
        "{again}"
    );
    Ok(())
}

async fn a_rollback_cancels_open_updates(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 1).await?;
    let device = &mut fleet[0];
    for version in ["1.1.0", "1.2.0"] {
        let firmware = tenant.upload_firmware(version).await?;
        create_update(&tenant, device, firmware).await?;
        ensure!(
            device.install().await?,
            "the device has no update to install"
        );
    }
    let bad = tenant.upload_firmware("1.3.0").await?;
    let open = create_update(&tenant, device, bad).await?;
    device.offer().await?.context("no offer")?;

    let path = format!("devices/{}/rollback", device.id);
    let rollback = tenant.operator.post(&path, &json!({})).await?;
    let rollback = rollback.expect_status(201)?.json()?;
    ensure!(rollback["to_version"] == "1.1.0", "{rollback}");
    ensure!(device.install().await?, "the device has no rollback update");
    ensure!(device.version == "1.1.0", "{}", device.version);
    let poll = device.poll().await?;
    ensure!(
        poll.deployment_base().is_none() && poll.cancel_action().is_some(),
        "{poll:?}"
    );
    ensure!(device.install().await?, "the open update was not cancelled");
    ensure!(!device.install().await?, "there is another update");
    ensure!(device.version == "1.1.0", "{}", device.version);
    let shown = get_update(&tenant, &open).await?;
    ensure!(shown["status"] == "cancelled", "{shown}");
    Ok(())
}

async fn create_update(tenant: &TestTenant, device: &Device, firmware: i64) -> Result<Value> {
    let body = json!({ "firmware_id": firmware });
    let path = format!("devices/{}/update", device.id);
    Ok(tenant
        .operator
        .post(&path, &body)
        .await?
        .expect_status(201)?
        .json()?)
}

async fn get_update(tenant: &TestTenant, update: &Value) -> Result<Value> {
    let path = format!("updates/{}", update["update_id"]);
    tenant.viewer.get(&path).await?.expect_success()
}
