//! Rollbacks by a policy and by an operator, of finished updates and of updates in flight.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate_e2e::{
    Device, Execution, Feedback, Finished, FirmwareForm, RestResponse as _, TestTenant,
    both_databases, close, wait_until,
};

both_databases!(
    a_policy_rolls_back_all_devices,
    an_operator_rolls_back_all_devices,
    the_counters_fit_the_status_when_the_last_device_ends,
    a_device_already_rolling_back_is_skipped,
    each_model_rolls_back_to_its_own_firmware,
    a_device_that_fetched_its_whole_file_is_awaited
);

async fn a_policy_rolls_back_all_devices(tenant: TestTenant) -> Result<()> {
    let mut fleet = devices_on_good_firmware(&tenant).await?;
    let bad = tenant.upload_firmware("1.2.0").await?;
    let id = tenant
        .start_campaign(
            bad,
            json!({
                "strategy": { "plugin": "canary", "config": { "canary_percentage": 60 } },
                "policies": [{ "plugin": "failure-rate", "config": {
                    "threshold_percent": 25,
                    "minimum_sample": 4,
                } }],
                "auto_rollback": true,
                "failure_threshold_percent": 100,
            }),
        )
        .await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 6 }))
        .await?;

    // Of six canaries two start and go on, three install it, and one fails.
    let mut canaries = Vec::new();
    for (n, device) in fleet.iter().enumerate() {
        if device.poll().await?.deployment_base().is_some() {
            canaries.push(n);
        }
    }
    ensure!(canaries.len() == 6, "{canaries:?}");
    for n in &canaries[..2] {
        let offer = fleet[*n].offer().await?.context("no offer")?;
        fleet[*n]
            .feedback(
                &offer.id,
                &Feedback::new(Execution::Proceeding, Finished::None),
            )
            .await?
            .expect_status(200)?;
    }
    for n in &canaries[2..5] {
        ensure!(
            fleet[*n].install().await?,
            "the device has no update to install"
        );
    }
    tenant
        .wait_for_counts(id, json!({ "completed_devices": 3, "failed_devices": 0 }))
        .await?;
    ensure!(
        tenant.get_campaign(id).await?["status"] == "in_progress",
        "the campaign is rolled back too early"
    );
    fleet[canaries[5]]
        .fail("CHECKSUM_MISMATCH: of the root file system")
        .await?;
    // With two more successes the failure rate would be one in six, below the policy's threshold.
    tenant.wait_for_status(id, "rolling_back").await?;

    let campaign = tenant
        .wait_for_status_while(id, "rolled_back", async || install_all(&mut fleet).await)
        .await?;
    ensure!(
        campaign["rollback"]["by"] == "tidegate/failure-rate",
        "{campaign}"
    );
    ensure!(campaign["rollback"]["scope"] == "everything", "{campaign}");
    let failures = &campaign["waves"][0]["failures"];
    ensure!(
        failures[0] == json!({ "code": "CHECKSUM_MISMATCH", "devices": 1 }),
        "{failures}"
    );
    check_rolled_back(&tenant, &fleet, bad).await?;

    // No device other than the canaries had an update to it.
    for (n, device) in fleet.iter().enumerate() {
        let updates = tenant
            .viewer
            .list(&format!("devices/{}/updates", device.id))
            .await?;
        let saw = updates.iter().any(|update| update["to_version"] == "1.2.0");
        ensure!(saw == canaries.contains(&n), "{}: {updates:?}", device.id);
    }
    Ok(())
}

async fn an_operator_rolls_back_all_devices(tenant: TestTenant) -> Result<()> {
    let mut fleet = devices_on_good_firmware(&tenant).await?;
    let bad = tenant.upload_firmware("1.2.0").await?;
    let id = tenant.start_campaign(bad, json!({})).await?;
    tenant
        .wait_for_status_while(id, "completed", async || install_all(&mut fleet).await)
        .await?;
    ensure!(
        fleet.iter().all(|device| device.version == "1.2.0"),
        "not all devices are on 1.2.0"
    );

    let body = json!({ "reason": "the customer does not like it" });
    tenant
        .operator
        .post(&format!("campaigns/{id}/rollback"), &body)
        .await?
        .expect_status(200)?;
    let devices = fleet.len();
    let rolling_back = json!({ "rollback_devices": devices, "rolled_back_devices": 0 });
    let campaign = tenant.wait_for_counts(id, rolling_back).await?;
    ensure!(
        campaign["status"] == "rolling_back" && campaign["progress_percentage"] == 99.9,
        "{campaign}"
    );
    ensure!(fleet[0].install().await?, "there is nothing to install");
    let one_is_back = json!({ "rollback_devices": devices, "rolled_back_devices": 1 });
    tenant.wait_for_counts(id, one_is_back).await?;
    let campaign = tenant
        .wait_for_status_while(id, "rolled_back", async || install_all(&mut fleet).await)
        .await?;
    ensure!(campaign["rolled_back_devices"] == devices, "{campaign}");
    ensure!(campaign["progress_percentage"] == 100.0, "{campaign}");
    ensure!(campaign["rollback"]["by"] == "operator", "{campaign}");
    check_rolled_back(&tenant, &fleet, bad).await?;
    let again = tenant
        .operator
        .post(&format!("campaigns/{id}/rollback"), &body)
        .await?;
    again.expect_problem(409, "invalid_transition")?;
    Ok(())
}

/// Forward and back: whenever a campaign is read, its counters do not say more than its status.
async fn the_counters_fit_the_status_when_the_last_device_ends(tenant: TestTenant) -> Result<()> {
    let mut fleet = devices_on_good_firmware(&tenant).await?;
    let devices = fleet.len();
    let last = devices - 1;
    let bad = tenant.upload_firmware("1.2.0").await?;
    let id = tenant.start_campaign(bad, json!({})).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": devices }))
        .await?;
    for device in &mut fleet[..last] {
        ensure!(device.install().await?, "there is nothing to install");
    }
    let almost = json!({ "in_progress_devices": 1, "completed_devices": last });
    let shown = tenant.wait_for_counts(id, almost).await?;
    let percentage = shown["progress_percentage"].as_f64().context("a number")?;
    let expected = 100.0 * last as f64 / devices as f64;
    ensure!((percentage - expected).abs() < 0.1, "{shown}");
    ensure!(fleet[last].install().await?, "there is nothing to install");
    // From here on every reading has the counters of the end.
    let read_until = async |end: &str, counters: &[(&str, usize)]| {
        wait_until("the campaign ends", async || {
            let shown = tenant.get_campaign(id).await?;
            for (counter, expected) in counters {
                ensure!(shown[*counter] == *expected, "{counter}: {shown}");
            }
            let has_ended = shown["status"] == end;
            let percentage = if has_ended { 100.0 } else { 99.9 };
            ensure!(shown["progress_percentage"] == percentage, "{shown}");
            Ok(has_ended.then_some(()))
        })
        .await
    };
    let counters = [
        ("in_progress_devices", 0),
        ("completed_devices", devices),
        ("rollback_devices", 0),
        ("rolled_back_devices", 0),
    ];
    read_until("completed", &counters).await?;

    let body = json!({ "reason": "it hums" });
    tenant
        .operator
        .post(&format!("campaigns/{id}/rollback"), &body)
        .await?
        .expect_status(200)?;
    let counts = json!({ "rollback_devices": devices, "rolled_back_devices": 0 });
    tenant.wait_for_counts(id, counts).await?;
    for (back, device) in fleet.iter_mut().enumerate() {
        let shown = tenant.get_campaign(id).await?;
        ensure!(
            shown["status"] == "rolling_back"
                && shown["rolled_back_devices"] == back
                && shown["rollback_devices"] == devices
                && shown["progress_percentage"] == 99.9,
            "{shown}"
        );
        ensure!(device.install().await?, "there is nothing to install");
    }
    let counters = [
        ("in_progress_devices", 0),
        ("completed_devices", devices),
        ("rollback_devices", devices),
        ("rolled_back_devices", devices),
        ("rollback_failed_devices", 0),
    ];
    read_until("rolled_back", &counters).await?;
    check_rolled_back(&tenant, &fleet, bad).await
}

/// One device is already rolling back by itself when its campaign is rolled back.
async fn a_device_already_rolling_back_is_skipped(tenant: TestTenant) -> Result<()> {
    let mut fleet = devices_on_good_firmware(&tenant).await?;
    let bad = tenant.upload_firmware("1.2.0").await?;
    let id = tenant.start_campaign(bad, json!({})).await?;
    tenant
        .wait_for_status_while(id, "completed", async || install_all(&mut fleet).await)
        .await?;
    let path = format!("devices/{}", fleet[0].id);
    let body = json!({ "reason": "it hums" });
    let own = tenant
        .operator
        .post(&format!("{path}/rollback"), &body)
        .await?
        .expect_status(201)?
        .json()?;
    tenant
        .operator
        .post(&format!("campaigns/{id}/rollback"), &body)
        .await?
        .expect_status(200)?;
    let campaign = tenant
        .wait_for_status_while(id, "rolled_back", async || {
            install_all(&mut fleet[1..]).await
        })
        .await?;
    let explanation = campaign["explain"].to_string();
    ensure!(
        explanation.contains("1 were already being rolled back by other updates"),
        "{campaign}"
    );
    let explained = tenant
        .viewer
        .get(&format!("{path}/explain"))
        .await?
        .expect_success()?;
    let expected_text = format!(
        "update {} was already rolling this device back",
        own["update_id"]
    );
    ensure!(
        explained.to_string().contains(&expected_text),
        "{explained}"
    );
    ensure!(
        fleet[0].install().await?,
        "the device has no rollback update"
    );
    ensure!(
        !fleet[0].install().await?,
        "the device has a second rollback update"
    );
    check_rolled_back(&tenant, &fleet, bad).await
}

/// Devices that came with a version that the server did not roll out, and has for two of their three models.
async fn each_model_rolls_back_to_its_own_firmware(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 3).await?;
    let models = ["edge", "gate", "buoy"];
    for (device, model) in fleet.iter().zip(models) {
        device.report([("hw_model", model)]).await?;
    }
    let form =
        |version: &str, model| FirmwareForm::new(version).with(json!({ "device_model": model }));
    let edge = form("1.0.0", Some("edge"))
        .upload(&tenant.publisher)
        .await?;
    let gate = form("1.0.0", Some("gate"))
        .upload(&tenant.publisher)
        .await?;
    let other = form("1.0.0", None).with(json!({ "name": "lamp" }));
    other.upload(&tenant.publisher).await?;
    let bad = form("1.1.0", None).upload(&tenant.publisher).await?;

    let changes = json!({ "target_filter": "sw_version==1.0.0" });
    let id = tenant.start_campaign(bad, changes).await?;
    tenant
        .wait_for_status_while(id, "completed", async || install_all(&mut fleet).await)
        .await?;
    let body = json!({ "reason": "it leaks" });
    tenant
        .operator
        .post(&format!("campaigns/{id}/rollback"), &body)
        .await?
        .expect_status(200)?;
    let campaign = tenant
        .wait_for_status_while(id, "rolled_back", async || install_all(&mut fleet).await)
        .await?;
    let explanation = campaign["explain"].to_string();
    ensure!(
        explanation.contains("for 1 the server does not have the previous firmware"),
        "{campaign}"
    );
    let returned = "this update returns the device to edge-os 1.0.0";
    let expected = [
        ("1.0.0", edge, returned),
        ("1.0.0", gate, returned),
        ("1.1.0", bad, "the device keeps its firmware"),
    ];
    for (device, (version, firmware, why)) in fleet.iter().zip(expected) {
        let path = format!("devices/{}", device.id);
        let shown = tenant.viewer.get(&path).await?.expect_success()?;
        ensure!(
            shown["installed_firmware"] == firmware && device.version == version,
            "{shown}"
        );
        let explained = tenant
            .viewer
            .get(&format!("{path}/explain"))
            .await?
            .expect_success()?;
        ensure!(explained.to_string().contains(why), "{explained}");
    }
    Ok(())
}

/// `SWUpdate` acknowledges the cancel after the installation, and boots the new version later.
async fn a_device_that_fetched_its_whole_file_is_awaited(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 2).await?;
    let good = tenant.upload_firmware("1.1.0").await?;
    let id = tenant.start_campaign(good, json!({})).await?;
    tenant
        .wait_for_status_while(id, "completed", async || install_all(&mut fleet).await)
        .await?;
    let bad = tenant.upload_firmware("1.2.0").await?;
    let id = tenant.start_campaign(bad, json!({})).await?;
    let mut offers = Vec::new();
    for device in &fleet {
        offers.push(wait_until("an offer", async || device.offer().await).await?);
    }
    // One says nothing, but fetches its file; the other has fetched nothing.
    let proceeding = Feedback::new(Execution::Proceeding, Finished::None);
    fleet[1]
        .feedback(&offers[1].id, &proceeding)
        .await?
        .expect_status(200)?;
    ensure!(fleet[0].download(&offers[0]).await?, "cancelled too early");
    let path = format!("updates/{}", offers[0].id);
    wait_until("the whole file is fetched", async || {
        let update = tenant.viewer.get(&path).await?.expect_success()?;
        Ok((update["status"] == "installing").then_some(()))
    })
    .await?;

    tenant
        .operator
        .post(
            &format!("campaigns/{id}/rollback"),
            &json!({ "reason": "it does not boot" }),
        )
        .await?
        .expect_status(200)?;
    for (device, offer) in fleet.iter().zip(&offers) {
        wait_until("the update is cancelled", async || {
            Ok(device.poll().await?.cancel_action().map(str::to_owned))
        })
        .await?;
        device
            .cancel_feedback(&offer.id, &close(Finished::Success))
            .await?
            .expect_status(200)?;
    }
    let counts = json!({ "awaiting_version_devices": 1, "cancelled_devices": 1 });
    let campaign = tenant.wait_for_counts(id, counts).await?;
    ensure!(campaign["status"] == "rolling_back", "{campaign}");

    // It boots the bad version.
    "1.2.0".clone_into(&mut fleet[0].version);
    fleet[0].report([("sw_version", "1.2.0")]).await?;
    let campaign = tenant
        .wait_for_status_while(id, "rolled_back", async || {
            let campaign = tenant.get_campaign(id).await?;
            let is_back = fleet[0].version == "1.1.0";
            ensure!(is_back || campaign["status"] != "rolled_back", "{campaign}");
            fleet[0].install().await?;
            Ok(())
        })
        .await?;
    ensure!(campaign["awaiting_version_devices"] == 0, "{campaign}");
    check_rolled_back(&tenant, &fleet, bad).await
}

/// Ten devices on 1.1.0, installed by a campaign.
async fn devices_on_good_firmware(tenant: &TestTenant) -> Result<Vec<Device>> {
    let mut fleet = tenant.create_devices("edge", 10).await?;
    let good = tenant.upload_firmware("1.1.0").await?;
    let id = tenant.start_campaign(good, json!({})).await?;
    tenant
        .wait_for_status_while(id, "completed", async || install_all(&mut fleet).await)
        .await?;
    Ok(fleet)
}

async fn install_all(fleet: &mut [Device]) -> Result<()> {
    for device in fleet {
        device.install().await?;
    }
    Ok(())
}

async fn check_rolled_back(tenant: &TestTenant, fleet: &[Device], bad: i64) -> Result<()> {
    for device in fleet {
        ensure!(
            device.version == "1.1.0",
            "{} has {}",
            device.id,
            device.version
        );
        let poll = device.poll().await?;
        ensure!(
            poll.deployment_base().is_none() && poll.cancel_action().is_none(),
            "{poll:?}"
        );
        let shown = tenant
            .viewer
            .get(&format!("devices/{}", device.id))
            .await?
            .expect_status(200)?
            .json()?;
        ensure!(
            shown["installed_firmware"] != bad && shown["sw_version"] == "1.1.0",
            "{shown}"
        );
        ensure!(shown["open_update"].is_null(), "{shown}");
    }
    Ok(())
}
