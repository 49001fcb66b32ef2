//! Campaigns that ask somebody first, and those whose devices are not told to install.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidegate_e2e::{Alone, Lab, both_databases, feedback};
use tidegate_fleet::{Credentials, Fleet, FleetOptions, Pace, Profiles};

both_databases!(
    each_device_answers_for_itself,
    what_is_only_downloaded_is_not_installed,
    a_phase_that_takes_too_long_says_so,
);

/// A device of the simulator, of model `edge`.
fn simulated(lab: &Lab, prefix: &str, change: impl FnOnce(&mut FleetOptions)) -> Result<Fleet> {
    let mut options = FleetOptions::new(&lab.server.url, 1);
    options.tenant.clone_from(&lab.tenant.name);
    options.prefix = format!("{prefix}-");
    options.credentials = Credentials::Gateway(lab.gateway.clone());
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

async fn each_device_answers_for_itself(lab: Lab) -> Result<()> {
    let agrees = simulated(&lab, "agrees", |_| {})?;
    let denies = simulated(&lab, "denies", |options| {
        options.profiles = Profiles::default().with("2.0.0", |profile| profile.denies = 1.0);
    })?;
    let trusts = simulated(&lab, "trusts", |options| options.confirms_all = true)?;
    let fleets = [&agrees, &denies, &trusts];
    for fleet in fleets {
        fleet.until(|memories| memories[0].polls > 2).await;
    }
    let firmware = lab.firmware("2.0.0").await?;
    let changes = json!({ "requires_confirmation": true, "on_denied": "reject" });
    let id = lab.start(firmware, changes).await?;
    let campaign = lab.until_status(id, "completed").await?;
    for (name, count) in [
        ("completed_devices", 2),
        ("rejected_devices", 1),
        ("failed_devices", 0),
        ("in_progress_devices", 0),
    ] {
        ensure!(campaign[name] == count, "{name}: {campaign}");
    }
    let updates = lab.updates(id).await?;
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
    let memory = |fleet: &Fleet| fleet.memories().remove(0);
    agrees.until(|memories| memories[0].succeeded == 1).await;
    trusts.until(|memories| memories[0].succeeded == 1).await;
    let said = fleets.map(|fleet| (memory(fleet).confirmed, memory(fleet).denied));
    ensure!(said == [(1, 0), (0, 1), (0, 0)], "{said:?}");

    let log = lab.viewer.get("devices/denies-0000/log").await?.is(200)?;
    let log = log.json()?;
    let line = &log["items"][0];
    ensure!(line["execution"] == "denied", "{log}");
    ensure!(line["messages"] == json!(["not this one"]), "{log}");
    let device = lab.viewer.get("devices/trusts-0000").await?.is(200)?;
    let device = device.json()?;
    ensure!(device["auto_confirm"]["initiator"] == "fleet", "{device}");
    Ok(())
}

async fn what_is_only_downloaded_is_not_installed(lab: Lab) -> Result<()> {
    let fleet = lab.fleet("edge", 1).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let changes = json!({ "update_type": "download_only" });
    let id = lab.start(firmware, changes).await?;
    lab.until_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    let offer = fleet[0].offer().await?.context("an offer")?;
    let told = &offer.body["deployment"];
    ensure!(
        told["download"] == "forced" && told["update"] == "skip",
        "{told}"
    );
    ensure!(fleet[0].download(&offer).await?, "it is there");
    fleet[0]
        .feedback(&offer.id, &feedback("downloaded", "none"))
        .await?
        .is(200)?;
    lab.until_status(id, "completed").await?;
    let device = lab.viewer.get("devices/edge-0").await?.is(200)?.json()?;
    ensure!(device["sw_version"] == "1.0.0", "{device}");
    ensure!(device["installed_firmware"] == Value::Null, "{device}");
    ensure!(device["state"] == "in_sync", "{device}");
    let refused = json!({ "update_type": "download_only", "success_criteria": "attested" });
    let mut body = Lab::draft(firmware);
    for (field, value) in refused.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    let refused = lab.operator.post("campaigns", &body).await?.is(422)?;
    let refused = refused.json()?;
    ensure!(
        refused["errors"][0]["field"] == "/success_criteria",
        "{refused}"
    );
    Ok(())
}

async fn a_phase_that_takes_too_long_says_so(lab: Alone) -> Result<()> {
    let fleet = lab.fleet("edge", 2).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let changes = json!({
        "timeout_minutes": 60,
        "download_timeout_minutes": 10,
        "install_timeout_minutes": 20,
        "failure_threshold_percent": 100,
    });
    let id = lab.start(firmware, changes).await?;
    lab.until_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    for (device, execution) in fleet.iter().zip(["download", "proceeding"]) {
        let offer = device.offer().await?.context("an offer")?;
        device
            .feedback(&offer.id, &feedback(execution, "none"))
            .await?
            .is(200)?;
    }
    lab.pass(Duration::from_mins(11));
    let campaign = lab
        .until_counts(id, json!({ "timed_out_devices": 1 }))
        .await?;
    ensure!(campaign["in_progress_devices"] == 1, "{campaign}");
    lab.pass(Duration::from_mins(10));
    lab.until_counts(id, json!({ "timed_out_devices": 2 }))
        .await?;
    for update in lab.updates(id).await? {
        let phase = match update["device_id"].as_str() {
            Some("edge-0") => "the device did not end the download within 10 minutes",
            _ => "the device did not end the installation within 20 minutes",
        };
        ensure!(update["error_message"] == phase, "{update}");
        ensure!(update["error_code"] == "TIMEOUT", "{update}");
    }
    Ok(())
}
