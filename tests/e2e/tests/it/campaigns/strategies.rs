//! Every built-in strategy, in the short form, until the campaign completes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidegate_core::{id::CampaignId, plugin::ClassKey};
use tidegate_e2e::{
    Credentials, Device, IsolatedTenant, RestResponse as _, both_databases, wait_until,
};
use tidegate_engine::{
    Actor, Admin, Authorized,
    ports::{CampaignStart, ClassVerdict, NewWave},
};

both_databases!(
    immediate_in_batches,
    staged_over_hours,
    green_before_blue,
    canary_up_to_a_percentage,
    canary_of_three_devices,
    stages_of_three_devices,
    a_campaign_keeps_the_sizes_of_its_start
);

async fn immediate_in_batches(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 7).await?;
    let form = json!({ "deployment_strategy": "immediate", "batch_size": 3 });
    let id = start(&tenant, form).await?;
    let campaign = tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 3 }))
        .await?;
    ensure!(
        campaign["strategy"]["plugin"] == "tidegate/immediate",
        "{campaign}"
    );
    ensure!(
        campaign["strategy"]["config"] == json!({ "batch_size": 3 }),
        "{campaign}"
    );
    let mut most = 0;
    tenant
        .wait_for_status_while(id, "completed", async || {
            most = most.max(
                tenant.get_campaign(id).await?["in_progress_devices"]
                    .as_u64()
                    .context("no count")?,
            );
            install(&mut fleet).await
        })
        .await?;
    ensure!(most == 3, "{most} devices were in flight");
    Ok(())
}

async fn staged_over_hours(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 8).await?;
    // Stages may be listed in any order.
    let form = json!({ "deployment_strategy": "staged", "rollout_stages": [
        { "stage": 2, "percentage": 100 },
        { "stage": 1, "percentage": 25, "duration_hours": 24 },
    ] });
    let id = start(&tenant, form).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    install(&mut fleet).await?;
    tenant
        .wait_for_counts(id, json!({ "completed_devices": 2 }))
        .await?;
    tenant.advance(Duration::from_hours(23));
    // Pausing and resuming calls the strategy before its wake-up time.
    tenant.send_command(id, "pause").await?;
    tenant.send_command(id, "resume").await?;
    let campaign = wait_until(
        "the explanation says how long the strategy waits",
        async || {
            let campaign = tenant.get_campaign(id).await?;
            Ok(campaign["explain"]
                .to_string()
                .contains("opens in 1 h")
                .then_some(campaign))
        },
    )
    .await?;
    ensure!(
        campaign["in_progress_devices"] == 0,
        "the strategy did not wait: {campaign}"
    );
    tenant.advance(Duration::from_hours(2));
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 6 }))
        .await?;
    tenant
        .wait_for_status_while(id, "completed", async || install(&mut fleet).await)
        .await?;
    Ok(())
}

async fn green_before_blue(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = Vec::new();
    for (name, group) in [
        ("a", "green"),
        ("b", "green"),
        ("c", "blue"),
        ("d", "blue"),
        ("e", "grey"),
    ] {
        let body = json!({ "device_id": name, "groups": [group] });
        let created = tenant
            .operator
            .post("devices", &body)
            .await?
            .expect_status(201)?
            .json()?;
        let token = created["token"].as_str().context("no token")?;
        let device = tenant
            .device(name)
            .with_credentials(Credentials::Target(token.to_owned()));
        device.identify().await?;
        fleet.push(device);
    }
    let form = json!({ "deployment_strategy": "blue_green", "green_group": ["green"], "blue_group": ["blue"] });
    let id = start(&tenant, form).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    for device in &mut fleet {
        let is_green = ["a", "b"].contains(&&*device.id);
        ensure!(
            device.install().await? == is_green,
            "{} is in the wrong group",
            device.id
        );
    }
    tenant
        .wait_for_counts(id, json!({ "completed_devices": 2 }))
        .await?;
    tenant.advance(Duration::from_mins(61));
    let advance = format!("campaigns/{id}/waves/1/advance");
    tenant
        .operator
        .post(&advance, &json!({}))
        .await?
        .expect_status(200)?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    for device in &mut fleet {
        let is_blue = ["c", "d"].contains(&&*device.id);
        ensure!(
            device.install().await? == is_blue,
            "{} is in the wrong group",
            device.id
        );
    }
    tenant
        .wait_for_status_while(id, "completed", async || install(&mut fleet).await)
        .await?;
    ensure!(
        fleet.iter().all(|device| device.version == "2.0.0"),
        "a device was left out"
    );

    // A group without devices is likely a misspelt name.
    let form = json!({ "deployment_strategy": "blue_green", "green_group": ["gren"] });
    let id = tenant
        .create_campaign(tenant.upload_firmware("3.0.0").await?, short(form))
        .await?;
    let refused = tenant
        .operator
        .post(&format!("campaigns/{id}/start"), &json!({}))
        .await?;
    let refused = refused.expect_problem(409, "plan_failed")?;
    ensure!(
        refused["detail"]
            .as_str()
            .is_some_and(|why| why.contains("gren")),
        "{refused}"
    );
    Ok(())
}

async fn canary_up_to_a_percentage(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 20).await?;
    let form = json!({
        "deployment_strategy": "canary",
        "canary_percentage": 10,
        "canary_duration_minutes": 0,
        "rollout_percentage": 50,
    });
    let id = start(&tenant, form).await?;
    let campaign = tenant
        .wait_for_status_while(id, "completed", async || install(&mut fleet).await)
        .await?;
    let updated = updated(&fleet);
    ensure!(updated == 10, "{updated} devices were updated: {campaign}");
    Ok(())
}

async fn canary_of_three_devices(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 3).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let config = json!({
        "canary_percentage": 10,
        "canary_duration_minutes": 30,
        "steps": [25, 50],
        "require_approval": true,
    });
    let body = json!({ "strategy": { "plugin": "canary", "config": config } });
    let id = tenant.start_campaign(firmware, body).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    ensure!(sizes(&tenant, id).await? == [1, 0, 1]);
    install(&mut fleet).await?;
    tenant
        .wait_for_counts(id, json!({ "completed_devices": 1 }))
        .await?;
    tenant.advance(Duration::from_mins(31));

    // The gate after the canary is before the next wave with devices.
    let advance = async |wave: u32| {
        let path = format!("campaigns/{id}/waves/{wave}/advance");
        tenant.operator.post(&path, &json!({})).await
    };
    advance(1).await?.expect_problem(409, "gate_passed")?;
    advance(2).await?.expect_status(200)?;
    let campaign = tenant
        .wait_for_status_while(id, "completed", async || install(&mut fleet).await)
        .await?;
    let updated = updated(&fleet);
    ensure!(updated == 2, "{updated} devices were updated: {campaign}");
    Ok(())
}

async fn stages_of_three_devices(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 3).await?;
    let stage = |percentage| json!({ "percentage": percentage, "duration_hours": 1 });
    // Percentages whose sum is not exact in binary.
    let config = json!({ "stages": [stage(0.1), stage(0.1 + 0.2), stage(33.4), stage(66.0)] });
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let body = json!({ "strategy": { "plugin": "staged", "config": config } });
    let id = tenant.start_campaign(firmware, body).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    ensure!(sizes(&tenant, id).await? == [1, 0, 1, 0]);
    install(&mut fleet).await?;
    tenant
        .wait_for_counts(id, json!({ "completed_devices": 1 }))
        .await?;
    // The duration of a stage without devices does not count.
    tenant.advance(Duration::from_mins(61));
    let campaign = tenant
        .wait_for_status_while(id, "completed", async || install(&mut fleet).await)
        .await?;
    let updated = updated(&fleet);
    ensure!(updated == 2, "{updated} devices were updated: {campaign}");
    Ok(())
}

/// An earlier version rounded each wave up for itself, so that 20 % of three devices were two of them.
async fn a_campaign_keeps_the_sizes_of_its_start(tenant: IsolatedTenant) -> Result<()> {
    const SIZES: [usize; 4] = [1, 1, 1, 0];

    let mut fleet = tenant.create_devices("edge", 3).await?;
    let percentages = [10, 20, 50, 100];
    let stages = percentages.map(|percentage| json!({ "percentage": percentage }));
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let body = json!({ "strategy": { "plugin": "staged", "config": { "stages": stages } } });
    let same = tenant.start_campaign(firmware, body.clone()).await?;
    ensure!(
        sizes(&tenant, same).await? == [1, 0, 1, 1],
        "this version rounds as that one"
    );
    tenant.send_command(same, "cancel").await?;
    tenant
        .wait_for_status_while(same, "cancelled", async || install(&mut fleet).await)
        .await?;

    let id = tenant.create_campaign(firmware, body).await?;
    let (engine, owner) = (&tenant.server.engine, tenant.record.id);
    let store = engine.store();
    let mut devices = Vec::new();
    for device in &fleet {
        let stored = store.device(owner, &device.id).await?;
        devices.push(stored.context("the device")?.key);
    }
    let mut members = devices.iter().copied();
    let waves = SIZES.iter().enumerate().map(|(index, size)| NewWave {
        name: format!("stage {}", index + 1),
        members: members.by_ref().take(*size).collect(),
    });
    let start = CampaignStart {
        at: engine.now(),
        waves: waves.collect(),
        parallel: false,
        is_dynamic: false,
        classes: vec![ClassVerdict {
            is_unchecked: false,
            key: ClassKey {
                hardware_model: Some("edge".to_owned()),
                hardware_revision: Some("1.0".to_owned()),
                version: Some("1.0.0".to_owned()),
                attributes: Vec::new(),
            },
            devices: 3,
            excluded: None,
            intermediate: None,
        }],
        selected: devices.iter().map(|key| (*key, 0)).collect(),
        journal: Vec::new(),
    };
    let campaign = store.campaign(owner, CampaignId(id)).await?;
    let campaign = campaign.context("the campaign")?;
    let ctx: Authorized<Admin> = engine.trusted_ctx(owner, Actor::command_line());
    ensure!(
        store.start_campaign(&ctx, &campaign, start).await?,
        "another change came first"
    );
    tenant
        .wait_for_status_while(id, "completed", async || install(&mut fleet).await)
        .await?;
    for (index, wave) in tenant.waves(id).await?.iter().enumerate() {
        let completed = &wave["counts"]["completed"];
        ensure!(
            *completed == SIZES[index] && wave["total"] == SIZES[index],
            "{wave}"
        );
    }
    ensure!(updated(&fleet) == 3, "not all devices were updated");
    Ok(())
}

/// The numbers of devices of the campaign's waves.
async fn sizes(tenant: &IsolatedTenant, id: i64) -> Result<Vec<u64>> {
    let waves = tenant.waves(id).await?;
    let sizes = waves.iter().map(|wave| wave["total"].as_u64());
    sizes.collect::<Option<_>>().context("no size")
}

fn updated(fleet: &[Device]) -> usize {
    let has_update = |device: &&Device| device.version == "2.0.0";
    fleet.iter().filter(has_update).count()
}

/// Replaces the strategy of the valid body by a short form.
fn short(mut form: Value) -> Value {
    form["strategy"] = Value::Null;
    form
}

async fn start(tenant: &IsolatedTenant, form: Value) -> Result<i64> {
    let firmware = tenant.upload_firmware("2.0.0").await?;
    tenant.start_campaign(firmware, short(form)).await
}

async fn install(fleet: &mut [Device]) -> Result<()> {
    for device in fleet {
        device.install().await?;
    }
    Ok(())
}
