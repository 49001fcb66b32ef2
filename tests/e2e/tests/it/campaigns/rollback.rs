//! Going back: of a policy's accord and of an operator's, for devices that are done and for devices in flight.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate_e2e::{Device, FirmwareForm, Lab, both_databases, feedback};

both_databases!(
    a_policy_brings_everybody_back,
    an_operator_brings_everybody_back,
    one_way_back_is_enough,
    each_model_goes_back_to_its_own
);

async fn a_policy_brings_everybody_back(lab: Lab) -> Result<()> {
    let mut fleet = on_good_firmware(&lab).await?;
    let bad = lab.firmware("1.2.0").await?;
    let id = lab
        .start(
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
    lab.until_counts(id, json!({ "in_progress_devices": 6 }))
        .await?;

    // Of six canaries two take it up and linger, three install it, and one cannot.
    let mut canaries = Vec::new();
    for (n, device) in fleet.iter().enumerate() {
        if device.poll().await?.deployment().is_some() {
            canaries.push(n);
        }
    }
    ensure!(canaries.len() == 6, "{canaries:?}");
    for n in &canaries[..2] {
        let offer = fleet[*n].offer().await?.context("an offer")?;
        fleet[*n]
            .feedback(&offer.id, &feedback("proceeding", "none"))
            .await?
            .is(200)?;
    }
    for n in &canaries[2..5] {
        ensure!(fleet[*n].install().await?, "it had nothing to install");
    }
    lab.until_counts(id, json!({ "completed_devices": 3, "failed_devices": 0 }))
        .await?;
    ensure!(
        lab.show(id).await?["status"] == "in_progress",
        "it goes back without reason"
    );
    fleet[canaries[5]]
        .fail("CHECKSUM_MISMATCH: of the root file system")
        .await?;
    // Two more successes before the policy looks would make one failure in six, which it lets pass.
    lab.until_status(id, "rolling_back").await?;

    let campaign = lab
        .until_status_while(id, "rolled_back", async || everybody_acts(&mut fleet).await)
        .await?;
    ensure!(campaign["rollback"]["by"] == "failure-rate", "{campaign}");
    ensure!(campaign["rollback"]["scope"] == "everything", "{campaign}");
    let failures = &campaign["waves"][0]["failures"];
    ensure!(
        failures[0] == json!({ "code": "CHECKSUM_MISMATCH", "devices": 1 }),
        "{failures}"
    );
    everybody_is_back(&lab, &fleet, bad).await?;

    // Nobody outside the canaries ever had anything to do with it.
    for (n, device) in fleet.iter().enumerate() {
        let updates = lab
            .viewer
            .list(&format!("devices/{}/updates", device.id))
            .await?;
        let saw = updates.iter().any(|update| update["to_version"] == "1.2.0");
        ensure!(saw == canaries.contains(&n), "{}: {updates:?}", device.id);
    }
    Ok(())
}

async fn an_operator_brings_everybody_back(lab: Lab) -> Result<()> {
    let mut fleet = on_good_firmware(&lab).await?;
    let bad = lab.firmware("1.2.0").await?;
    let id = lab.start(bad, json!({})).await?;
    lab.until_status_while(id, "completed", async || everybody_acts(&mut fleet).await)
        .await?;
    ensure!(
        fleet.iter().all(|device| device.version == "1.2.0"),
        "not everybody has it"
    );

    let wish = json!({ "reason": "the customer does not like it" });
    lab.operator
        .post(&format!("campaigns/{id}/rollback"), &wish)
        .await?
        .is(200)?;
    let campaign = lab
        .until_status_while(id, "rolled_back", async || everybody_acts(&mut fleet).await)
        .await?;
    ensure!(campaign["rollback"]["by"] == "operator", "{campaign}");
    everybody_is_back(&lab, &fleet, bad).await?;
    let again = lab
        .operator
        .post(&format!("campaigns/{id}/rollback"), &wish)
        .await?;
    again.problem(409, "invalid_transition")?;
    Ok(())
}

/// One device was rolled back by itself, and is at it, when its campaign goes back.
async fn one_way_back_is_enough(lab: Lab) -> Result<()> {
    let mut fleet = on_good_firmware(&lab).await?;
    let bad = lab.firmware("1.2.0").await?;
    let id = lab.start(bad, json!({})).await?;
    lab.until_status_while(id, "completed", async || everybody_acts(&mut fleet).await)
        .await?;
    let path = format!("devices/{}", fleet[0].id);
    let wish = json!({ "reason": "it hums" });
    let own = lab
        .operator
        .post(&format!("{path}/rollback"), &wish)
        .await?
        .is(201)?
        .json()?;
    lab.operator
        .post(&format!("campaigns/{id}/rollback"), &wish)
        .await?
        .is(200)?;
    let campaign = lab
        .until_status_while(id, "rolled_back", async || {
            everybody_acts(&mut fleet[1..]).await
        })
        .await?;
    let told = campaign["explain"].to_string();
    ensure!(
        told.contains("1 were being brought back already"),
        "{campaign}"
    );
    let explained = lab.viewer.get(&format!("{path}/explain")).await?.ok()?;
    let left = format!("leaves this device to update {}", own["update_id"]);
    ensure!(explained.to_string().contains(&left), "{explained}");
    ensure!(fleet[0].install().await?, "it had nothing to go back to");
    ensure!(!fleet[0].install().await?, "it is to go back twice");
    everybody_is_back(&lab, &fleet, bad).await
}

/// Devices that came with a version that was not rolled out from here, which exists for two of their three models.
async fn each_model_goes_back_to_its_own(lab: Lab) -> Result<()> {
    let mut fleet = lab.fleet("edge", 3).await?;
    let models = ["edge", "gate", "buoy"];
    for (device, model) in fleet.iter().zip(models) {
        device.report(json!({ "hw_model": model })).await?;
    }
    let form =
        |version: &str, model| FirmwareForm::new(version).with(json!({ "device_model": model }));
    let edge = form("1.0.0", Some("edge")).upload(&lab.publisher).await?;
    let gate = form("1.0.0", Some("gate")).upload(&lab.publisher).await?;
    let other = form("1.0.0", None).with(json!({ "name": "lamp" }));
    other.upload(&lab.publisher).await?;
    let bad = form("1.1.0", None).upload(&lab.publisher).await?;

    let changes = json!({ "target_filter": "sw_version==1.0.0" });
    let id = lab.start(bad, changes).await?;
    lab.until_status_while(id, "completed", async || everybody_acts(&mut fleet).await)
        .await?;
    let wish = json!({ "reason": "it leaks" });
    lab.operator
        .post(&format!("campaigns/{id}/rollback"), &wish)
        .await?
        .is(200)?;
    let campaign = lab
        .until_status_while(id, "rolled_back", async || everybody_acts(&mut fleet).await)
        .await?;
    let told = campaign["explain"].to_string();
    ensure!(
        told.contains("for 1 the server does not have what they had before"),
        "{campaign}"
    );
    let brought = "that update brings edge-os 1.0.0 again";
    let expected = [
        ("1.0.0", edge, brought),
        ("1.0.0", gate, brought),
        ("1.1.0", bad, "the device stays where it is"),
    ];
    for (device, (version, firmware, why)) in fleet.iter().zip(expected) {
        let path = format!("devices/{}", device.id);
        let shown = lab.viewer.get(&path).await?.ok()?;
        ensure!(
            shown["installed_firmware"] == firmware && device.version == version,
            "{shown}"
        );
        let explained = lab.viewer.get(&format!("{path}/explain")).await?.ok()?;
        ensure!(explained.to_string().contains(why), "{explained}");
    }
    Ok(())
}

/// Ten devices that a campaign has brought to 1.1.0.
async fn on_good_firmware(lab: &Lab) -> Result<Vec<Device>> {
    let mut fleet = lab.fleet("edge", 10).await?;
    let good = lab.firmware("1.1.0").await?;
    let id = lab.start(good, json!({})).await?;
    lab.until_status_while(id, "completed", async || everybody_acts(&mut fleet).await)
        .await?;
    Ok(fleet)
}

async fn everybody_acts(fleet: &mut [Device]) -> Result<()> {
    for device in fleet {
        device.install().await?;
    }
    Ok(())
}

async fn everybody_is_back(lab: &Lab, fleet: &[Device], bad: i64) -> Result<()> {
    for device in fleet {
        ensure!(
            device.version == "1.1.0",
            "{} has {}",
            device.id,
            device.version
        );
        let poll = device.poll().await?;
        ensure!(
            poll.deployment().is_none() && poll.cancel().is_none(),
            "{poll:?}"
        );
        let shown = lab
            .viewer
            .get(&format!("devices/{}", device.id))
            .await?
            .is(200)?
            .json()?;
        ensure!(
            shown["installed_firmware"] != bad && shown["sw_version"] == "1.1.0",
            "{shown}"
        );
        ensure!(shown["open_update"].is_null(), "{shown}");
    }
    Ok(())
}
