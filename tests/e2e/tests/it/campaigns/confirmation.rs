//! Campaigns whose updates must be confirmed, download-only campaigns, and phase timeouts.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidegate_e2e::{
    Credentials, Deployment, Execution, Feedback, Finished, HandlingType, IsolatedTenant,
    TestTenant, both_databases,
};
use tidegate_fleet::{Fleet, FleetOptions, Pace, Profiles};

both_databases!(
    each_device_confirms_for_itself,
    download_only_updates_are_not_installed,
    a_phase_timeout_names_the_phase,
);

/// A fleet of one simulated device of model `edge`.
fn simulated(
    tenant: &TestTenant,
    prefix: &str,
    change: impl FnOnce(&mut FleetOptions),
) -> Result<Fleet> {
    let mut options = FleetOptions::new(&tenant.server.url, 1);
    options.tenant.clone_from(&tenant.record.name);
    options.prefix = format!("{prefix}-");
    options.credentials = Credentials::Gateway(tenant.gateway.clone());
    let model = ("hw_model".to_owned(), "edge".to_owned());
    options.attributes.extend([model]);
    let pause = Duration::from_millis(50);
    options.pace = Pace {
        poll: (pause, pause * 2),
        step: pause,
    };
    change(&mut options);
    Ok(Fleet::start(options)?)
}

async fn each_device_confirms_for_itself(tenant: TestTenant) -> Result<()> {
    let agrees = simulated(&tenant, "agrees", |_| {})?;
    let denies = simulated(&tenant, "denies", |options| {
        options.profiles = Profiles::default().with("2.0.0", |profile| profile.denies = 1.0);
    })?;
    let trusts = simulated(&tenant, "trusts", |options| options.auto_confirm = true)?;
    let fleets = [&agrees, &denies, &trusts];
    for fleet in fleets {
        fleet.wait_until(|records| records[0].polls > 2).await;
    }
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let changes = json!({ "requires_confirmation": true, "on_denied": "reject" });
    let id = tenant.start_campaign(firmware, changes).await?;
    let campaign = tenant.wait_for_status(id, "completed").await?;
    for (name, count) in [
        ("completed_devices", 2),
        ("rejected_devices", 1),
        ("failed_devices", 0),
        ("in_progress_devices", 0),
    ] {
        ensure!(campaign[name] == count, "{name}: {campaign}");
    }
    let updates = tenant.updates(id).await?;
    let of = |device: &str| {
        let mut updates = updates.iter();
        updates
            .find(|update| update["device_id"] == device)
            .with_context(|| format!("no update of {device}"))
    };
    for (device, status, code) in [
        ("agrees-0000", "completed", Value::Null),
        ("trusts-0000", "completed", Value::Null),
        ("denies-0000", "rejected", json!("DENIED")),
    ] {
        let update = of(device)?;
        ensure!(update["status"] == status, "{update}");
        ensure!(update["error_code"] == code, "{update}");
        ensure!(update["requires_confirmation"] == true, "{update}");
    }
    let record = |fleet: &Fleet| fleet.records().remove(0);
    agrees.wait_until(|records| records[0].succeeded == 1).await;
    trusts.wait_until(|records| records[0].succeeded == 1).await;
    let answers = fleets.map(|fleet| (record(fleet).confirmed, record(fleet).denied));
    ensure!(answers == [(1, 0), (0, 1), (0, 0)], "{answers:?}");

    let log = tenant
        .viewer
        .get("devices/denies-0000/log")
        .await?
        .expect_status(200)?;
    let log = log.json()?;
    let line = &log["items"][0];
    ensure!(line["execution"] == "denied", "{log}");
    ensure!(line["messages"] == json!(["not this one"]), "{log}");
    let device = tenant
        .viewer
        .get("devices/trusts-0000")
        .await?
        .expect_status(200)?;
    let device = device.json()?;
    ensure!(device["auto_confirm"]["initiator"] == "fleet", "{device}");
    Ok(())
}

async fn download_only_updates_are_not_installed(tenant: TestTenant) -> Result<()> {
    let fleet = tenant.create_devices("edge", 1).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let changes = json!({ "update_type": "download_only" });
    let id = tenant.start_campaign(firmware, changes).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    let offer = fleet[0].offer().await?.context("no offer")?;
    let Deployment {
        download, update, ..
    } = offer.deployment;
    ensure!(
        download == HandlingType::Forced && update == HandlingType::Skip,
        "{offer:?}"
    );
    ensure!(fleet[0].download(&offer).await?, "the update was cancelled");
    fleet[0]
        .feedback(
            &offer.id,
            &Feedback::new(Execution::Downloaded, Finished::None),
        )
        .await?
        .expect_status(200)?;
    tenant.wait_for_status(id, "completed").await?;
    let device = tenant
        .viewer
        .get("devices/edge-0")
        .await?
        .expect_status(200)?
        .json()?;
    ensure!(device["sw_version"] == "1.0.0", "{device}");
    ensure!(device["installed_firmware"] == Value::Null, "{device}");
    ensure!(device["state"] == "in_sync", "{device}");
    let refused = json!({ "update_type": "download_only", "success_criteria": "attested" });
    let mut body = TestTenant::campaign_body(firmware);
    for (field, value) in refused.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    let refused = tenant
        .operator
        .post("campaigns", &body)
        .await?
        .expect_status(422)?;
    let refused = refused.json()?;
    ensure!(
        refused["errors"][0]["field"] == "/success_criteria",
        "{refused}"
    );
    Ok(())
}

async fn a_phase_timeout_names_the_phase(tenant: IsolatedTenant) -> Result<()> {
    let fleet = tenant.create_devices("edge", 2).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let changes = json!({
        "timeout_minutes": 60,
        "download_timeout_minutes": 10,
        "install_timeout_minutes": 20,
        "failure_threshold_percent": 100,
    });
    let id = tenant.start_campaign(firmware, changes).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    for (device, execution) in fleet
        .iter()
        .zip([Execution::Download, Execution::Proceeding])
    {
        let offer = device.offer().await?.context("no offer")?;
        device
            .feedback(&offer.id, &Feedback::new(execution, Finished::None))
            .await?
            .expect_status(200)?;
    }
    tenant.advance(Duration::from_mins(11));
    let campaign = tenant
        .wait_for_counts(id, json!({ "timed_out_devices": 1 }))
        .await?;
    ensure!(campaign["in_progress_devices"] == 1, "{campaign}");
    tenant.advance(Duration::from_mins(10));
    tenant
        .wait_for_counts(id, json!({ "timed_out_devices": 2 }))
        .await?;
    for update in tenant.updates(id).await? {
        let phase = match update["device_id"].as_str() {
            Some("edge-0") => "the device did not finish the download within 10 minutes",
            _ => "the device did not finish the installation within 20 minutes",
        };
        ensure!(update["error_message"] == phase, "{update}");
        ensure!(update["error_code"] == "TIMEOUT", "{update}");
    }
    Ok(())
}
