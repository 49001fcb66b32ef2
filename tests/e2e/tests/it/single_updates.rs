//! Updates of single devices, from the operator's request to the final feedback.

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use tidegate_e2e::{
    Device, Events, Execution, Feedback, Finished, HttpResponse, RestResponse as _, TestTenant,
    both_databases, close, wait_until,
};

both_databases!(
    a_device_is_updated_and_rolled_back,
    an_update_is_cancelled_and_retried,
    an_update_that_waits_behind_another_one_is_explained,
    the_retry_of_an_update_of_an_earlier_version_waits_for_approval,
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

/// One of a campaign and one of an operator, behind one that an operator requested before.
async fn an_update_that_waits_behind_another_one_is_explained(tenant: TestTenant) -> Result<()> {
    let mut device = tenant.create_devices("edge", 1).await?.remove(0);
    let mut updates = Vec::new();
    for version in ["1.1.0", "1.2.0"] {
        let firmware = tenant.upload_firmware(version).await?;
        updates.push(create_update(&tenant, &device, firmware).await?);
    }
    let firmware = tenant.upload_firmware("1.3.0").await?;
    let campaign = tenant.start_campaign(firmware, json!({})).await?;
    tenant
        .wait_for_counts(campaign, json!({ "in_progress_devices": 1 }))
        .await?;
    let explained = async || -> Result<(String, String)> {
        let explained = tenant.viewer.get("devices/edge-0/explain").await?;
        let explained = explained.expect_success()?;
        let of_device = explained["device"]["reasons"].to_string();
        Ok((of_device, explained["items"][0]["reasons"].to_string()))
    };

    let [first, second] = [0, 1].map(|n: usize| updates[n]["update_id"].clone());
    let behind = |id: &Value| format!("waits behind update {id}; its time does not run meanwhile");
    let (of_device, of_campaign) = explained().await?;
    let waits = format!("update {second} {}", behind(&first));
    ensure!(of_device.contains(&waits), "{of_device}");
    ensure!(
        !of_device.contains(&format!("update {first} waits")),
        "{of_device}"
    );
    ensure!(
        of_campaign.contains(&format!("it {}", behind(&first))),
        "{of_campaign}"
    );

    // Its new version is checked first.
    ensure!(device.install().await?, "there is no update");
    wait_until(
        "the campaign's update waits behind the second one",
        async || {
            let (of_device, of_campaign) = explained().await?;
            let waits = of_campaign.contains(&format!("it {}", behind(&second)));
            Ok((waits && !of_device.contains("waits behind")).then_some(()))
        },
    )
    .await?;
    for version in ["1.2.0", "1.3.0"] {
        wait_until("the next update is installed", async || {
            Ok(device.install().await?.then_some(()))
        })
        .await?;
        ensure!(device.version == version, "{}", device.version);
    }
    let (of_device, of_campaign) = explained().await?;
    ensure!(
        !(of_device + &of_campaign).contains("waits behind"),
        "something waits"
    );
    Ok(())
}

async fn the_retry_of_an_update_of_an_earlier_version_waits_for_approval(
    tenant: TestTenant,
) -> Result<()> {
    let mut devices = tenant.create_devices("edge", 2).await?;
    let firmware = tenant.upload_firmware("1.1.0").await?;
    let mut updates = Vec::new();
    for device in &mut devices {
        updates.push(create_update(&tenant, device, firmware).await?["update_id"].clone());
        ensure!(device.fail("no space left").await?, "there is no update");
    }
    // It may have been one of a bulk update.
    sqlx::any::install_default_drivers();
    let mut database = AnyConnection::connect(&tenant.server.database_url()).await?;
    let forget = format!(
        "UPDATE updates SET authorship = NULL WHERE id = {}",
        updates[0]
    );
    sqlx::query(AssertSqlSafe(forget))
        .execute(&mut database)
        .await?;
    database.close().await?;
    let settings = json!({ "requires_approval": true });
    let request = tenant
        .admin
        .request(Method::PATCH, "settings")
        .json(&settings);
    HttpResponse::fetch(request).await?.expect_success()?;
    for (update, status) in updates.iter().zip(["waiting_approval", "offered"]) {
        let path = format!("updates/{update}/retry");
        let retried = tenant.operator.post(&path, &json!({})).await?;
        let retried = retried.expect_status(201)?.json()?;
        ensure!(retried["status"] == status, "{retried}");
    }
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
