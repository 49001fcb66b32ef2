//! Hostile plugins, over REST: each is rejected, or its campaign is held. The server and all other campaigns go on.

use std::{pin::pin, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use tidegate_e2e::{
    Database, Execution, Feedback, Finished, HttpResponse, IsolatedTenant, RestResponse as _,
    ServerOptions, TestTenant, both_databases, close, run_standalone, wait_until,
};
use tidegate_hostile::{
    Hooks, HostilePlugin, compile_bomb, doubling_schema, forbidden_import, slow_config,
    slow_schema, strategy_with,
};

both_databases!(
    hostile_plugins_are_rejected_or_stopped,
    invalid_decisions_hold_a_running_campaign,
    failures_after_upload_hold_the_campaign,
    alternating_failures_hold_the_campaign,
    expensive_schemas_harm_only_their_tenant,
);

async fn hostile_plugins_are_rejected_or_stopped(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 6).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let honest_campaign = tenant
        .start_campaign(firmware, json!({ "max_concurrent_updates": 1 }))
        .await?;

    let refused = upload(&tenant, forbidden_import()?)
        .await?
        .expect_problem(422, "plugin_rejected")?;
    let detail = refused["detail"].as_str().unwrap_or_default();
    ensure!(
        detail.contains("wasi:clocks/monotonic-clock@0.2.3"),
        "the import is not named: {detail}"
    );
    let mut stopped = Vec::new();
    // Their decisions are invalid only while a device is in flight or a policy stops the campaign; they have a test
    // of their own below.
    let tested_separately = [
        HostilePlugin::ReleasesOnHold,
        HostilePlugin::CompletesInFlight,
    ];
    for hostile in HostilePlugin::ALL {
        if tested_separately.contains(&hostile) {
            continue;
        }
        let response = upload(&tenant, hostile.component()?).await?;
        let result = match response.status.as_u16() {
            201 => match run_until_stopped(&tenant, firmware, &response.json()?).await? {
                Some(how) => how,
                None if hostile == HostilePlugin::Honest => continue,
                // A wave with more devices than the campaign has is cut to all of them.
                None if hostile == HostilePlugin::InvalidPlan => "corrected".to_owned(),
                None => bail!("{hostile:?} was not stopped"),
            },
            // On a busy machine the deadline may expire before the fuel.
            503 if hostile != HostilePlugin::Honest => response
                .expect_problem(503, "unavailable")
                .map(|_| "rejected for now".to_owned())?,
            _ => {
                response.expect_problem(422, "plugin_rejected")?;
                ensure!(
                    hostile != HostilePlugin::Honest,
                    "the honest plugin is rejected"
                );
                "refused".to_owned()
            }
        };
        stopped.push((hostile, result));
        // Meanwhile the other campaign makes progress.
        wait_until("the other campaign makes progress", async || {
            let mut moved = tenant.get_campaign(honest_campaign).await?["status"] == "completed";
            for device in &mut fleet {
                moved |= device.install().await?;
            }
            Ok(moved.then_some(()))
        })
        .await?;
    }
    let of = |plugin: HostilePlugin| {
        stopped
            .iter()
            .find(|(hostile, _)| *hostile == plugin)
            .map(|(_, result)| &**result)
    };
    for lie in [HostilePlugin::InvalidDecision, HostilePlugin::OutOfOrder] {
        ensure!(of(lie) == Some("held"), "{lie:?}: {stopped:?}");
    }
    tenant
        .wait_for_status_while(honest_campaign, "completed", async || {
            for device in &mut fleet {
                device.install().await?;
            }
            Ok(())
        })
        .await?;
    ensure!(
        fleet.iter().all(|device| device.version == "2.0.0"),
        "a device was left out"
    );
    tenant.viewer.get("/readyz").await?.expect_status(200)?;
    Ok(())
}

/// A strategy that ignores devices in flight, or a policy that stops the campaign, releases no more devices.
async fn invalid_decisions_hold_a_running_campaign(tenant: IsolatedTenant) -> Result<()> {
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let policy = json!({
        "plugin": "failure-rate", "config": { "threshold_percent": 10, "minimum_sample": 1, "action": "hold" },
    });
    for (name, hostile, body, reason) in [
        (
            "busy",
            HostilePlugin::CompletesInFlight,
            Feedback::new(Execution::Proceeding, Finished::None),
            "the outcome is complete although 1 devices are in flight",
        ),
        (
            "bad",
            HostilePlugin::ReleasesOnHold,
            close(Finished::Failure),
            "the decision releases devices although policy tidegate/failure-rate stops the campaign",
        ),
    ] {
        let fleet = tenant.create_devices(name, 3).await?;
        let revision = upload(&tenant, hostile.component()?)
            .await?
            .expect_status(201)?
            .json()?;
        let strategy = json!({
            "plugin": revision["plugin"], "revision": revision["revision"], "config": {},
        });
        let options = json!({
            "strategy": strategy,
            "policies": [policy],
            "target_filter": format!("device_id=={name}-*"),
            "failure_threshold_percent": 100,
        });
        let id = tenant.start_campaign(firmware, options).await?;
        tenant
            .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
            .await?;
        for device in &fleet {
            if let Some(offer) = device.offer().await? {
                device
                    .feedback(&offer.id, &body)
                    .await?
                    .expect_status(200)?;
            }
        }
        let campaign = wait_for_hold(&tenant, id).await?;
        let why = campaign["hold"]["reason"].as_str().unwrap_or_default();
        ensure!(
            why.contains(reason) && why.contains("3 times"),
            "{hostile:?}: {why}"
        );
        ensure!(campaign["pending_devices"] == 2, "{campaign}");
        tenant.send_command(id, "cancel").await?;
    }
    Ok(())
}

/// Plugins whose schema has no example config are not called at upload, so they fail only in a campaign.
async fn failures_after_upload_hold_the_campaign(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 2).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let schema =
        r#"{"type": "object", "required": ["go"], "properties": {"go": {"pattern": "^x{7}$"}}}"#;
    for (decide, reason) in [
        ("unreachable", "the plugin trapped"),
        (
            "(loop $more (br $more)) unreachable",
            "the plugin ran out of fuel",
        ),
        (
            "(i32.const -4)",
            "the plugin's output violates the contract",
        ),
    ] {
        let component = strategy_with(&Hooks::default().schema(schema).decide(decide))?;
        let config = json!({ "go": "xxxxxxx" });
        let id = start_with(&tenant, firmware, component, config).await?;
        let campaign = wait_for_hold(&tenant, id).await?;
        let text = campaign["hold"]["reason"].as_str().unwrap_or_default();
        ensure!(
            text.contains(reason) && text.contains("3 times"),
            "{decide}: {text}"
        );
        ensure!(
            campaign["in_progress_devices"] == 0 && campaign["pending_devices"] == 2,
            "{campaign}"
        );
        let failed = tenant
            .journal(id)
            .await?
            .into_iter()
            .filter(|entry| entry["kind"] == "decide");
        let failed: Vec<Value> = failed.collect();
        ensure!(
            failed.len() == 3 && failed.iter().all(|entry| entry["applied"] == false),
            "{failed:?}"
        );
        // A failure is replayed as an answer is.
        for entry in &failed {
            let path = format!("campaigns/{id}/journal/{}/replay", entry["seq"]);
            let replayed = tenant.viewer.post(&path, &json!({})).await?;
            let replayed = replayed.expect_status(200)?.json()?;
            ensure!(replayed["same"] == true, "{entry}: {replayed}");
            ensure!(replayed["decision"] == replayed["recorded"], "{replayed}");
        }

        // Resuming such a campaign holds it again.
        tenant.send_command(id, "resume").await?;
        wait_for_hold(&tenant, id).await?;
        tenant.send_command(id, "cancel").await?;
    }
    let id = tenant.start_campaign(firmware, json!({})).await?;
    tenant
        .wait_for_status_while(id, "completed", async || {
            for device in &mut fleet {
                device.install().await?;
            }
            Ok(())
        })
        .await?;
    Ok(())
}

/// Uploads a strategy and starts a campaign with it.
pub(crate) async fn start_with(
    tenant: &IsolatedTenant,
    firmware: i64,
    component: Vec<u8>,
    config: Value,
) -> Result<i64> {
    let revision = upload(tenant, component).await?.expect_status(201)?;
    let revision = revision.json()?;
    let strategy = json!({
        "plugin": revision["plugin"], "revision": revision["revision"], "config": config,
    });
    tenant
        .start_campaign(firmware, json!({ "strategy": strategy }))
        .await
}

/// Lets the server wait for its next attempts until it holds the campaign.
async fn wait_for_hold(tenant: &IsolatedTenant, id: i64) -> Result<Value> {
    tenant
        .wait_for_status_while(id, "held", async || {
            tenant.advance(Duration::from_secs(5));
            Ok(())
        })
        .await
}

/// A strategy that never fails three times in a row: it fails until ten seconds after its last decision, each of which
/// releases one more device. Its state is the time and the number of devices.
async fn alternating_failures_hold_the_campaign(tenant: IsolatedTenant) -> Result<()> {
    tenant.create_devices("edge", 20).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    // In the input the time is at 0 and the state at 256.
    let decide = "
        (i64.store (i32.const 920) (i64.const 1))
        (if (i32.load offset=260 (local.get $input))
          (then
            (local.set $at (i32.load offset=256 (local.get $input)))
            (if (i64.lt_u (i64.load (local.get $input))
                  (i64.add (i64.load (local.get $at)) (i64.const 10000)))
              (then unreachable))
            (i64.store (i32.const 920) (i64.add (i64.load offset=8 (local.get $at)) (i64.const 1)))))
        (i64.store (i32.const 912) (i64.load (local.get $input)))
        (i64.store (i32.const 936) (i64.load (i32.const 920)))
        (i32.store (i32.const 648) (i32.const 928))
        (i32.store (i32.const 652) (i32.const 1))
        (i32.store (i32.const 656) (i32.const 0))
        (i32.store (i32.const 680) (i32.const 1))
        (i64.store (i32.const 688) (i64.const 1000))
        (i32.store (i32.const 696) (i32.const 912))
        (i32.store (i32.const 700) (i32.const 16))
        (i32.const 640)";
    let component = strategy_with(&Hooks::default().decide(decide))?;
    let id = start_with(&tenant, firmware, component, json!({})).await?;
    let campaign = wait_for_hold(&tenant, id).await?;
    let why = campaign["hold"]["reason"].as_str().unwrap_or_default();
    ensure!(
        why.contains("of the last") && why.contains("the plugin trapped"),
        "{why}"
    );
    Ok(())
}

/// A config that takes too long to check is refused with the reason. Other tenants, and other plugins of the same tenant,
/// go on meanwhile.
async fn expensive_schemas_harm_only_their_tenant(tenant: IsolatedTenant) -> Result<()> {
    for mut schema in [doubling_schema("default"), doubling_schema("examples")] {
        for has_example in [false, true] {
            if has_example {
                schema["examples"] = json!([{ "default": 1, "examples": 1 }]);
            }
            let hooks = schema.to_string();
            let component = strategy_with(&Hooks::default().schema(hooks))?;
            let refused = upload(&tenant, component)
                .await?
                .expect_problem(422, "plugin_rejected")?;
            let detail = refused["detail"].as_str().unwrap_or_default();
            ensure!(detail.contains("more than 64 levels deep"), "{detail}");
        }
    }

    let schema = slow_schema().to_string();
    let component = strategy_with(&Hooks::default().schema(schema))?;
    let slow = upload(&tenant, component)
        .await?
        .expect_status(201)?
        .json()?;
    let other = TestTenant::new(Arc::clone(&tenant.server)).await?;
    tenant.create_devices("edge", 1).await?;
    other.create_devices("edge", 1).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let other_firmware = other.upload_firmware("2.0.0").await?;
    let reason = "its config schema takes too long to check";
    let refused = |response: HttpResponse| {
        let problem = response.expect_problem(422, "plugin_failed")?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(detail.contains(reason), "{problem}");
        anyhow::Ok(())
    };
    let slow_requests = async {
        let path = format!(
            "plugins/{}/validate",
            slow["plugin"].as_str().context("a name")?
        );
        let config = json!({ "config": slow_config() });
        let mut body = TestTenant::campaign_body(firmware);
        body["strategy"] = json!({ "plugin": slow["plugin"], "config": slow_config() });
        let validate = (0..3).map(|_| tenant.operator.post(&path, &config));
        let create = tenant.operator.post("campaigns", &body);
        let (validated, created) = tokio::join!(try_join_all(validate), create);
        for response in validated?.into_iter().chain([created?]) {
            refused(response)?;
        }
        anyhow::Ok(())
    };
    let other_requests = async {
        let config = json!({ "config": { "canary_percentage": 10 } });
        let validated = other
            .operator
            .post("plugins/tidegate/canary/validate", &config)
            .await?;
        let validated = validated.expect_status(200)?.json()?;
        ensure!(validated["ok"] == true, "{validated}");
        let id = other.start_campaign(other_firmware, json!({})).await?;
        let entries = other.journal(id).await?;
        let plan = entries.iter().find(|entry| entry["kind"] == "plan");
        let seq = &plan.context("no plan")?["seq"];
        let path = format!("campaigns/{id}/journal/{seq}/replay");
        let replayed = other
            .operator
            .post(&path, &json!({}))
            .await?
            .expect_status(200)?
            .json()?;
        ensure!(replayed["same"] == true, "{replayed}");
        upload(&other, HostilePlugin::Honest.component()?)
            .await?
            .expect_status(201)?;
        anyhow::Ok(())
    };
    let mut slow_requests = pin!(slow_requests);
    tokio::select! {
        biased;
        ended = &mut slow_requests => {
            ended?;
            bail!("the other tenant waited for slow checks");
        }
        done = other_requests => done?,
    }
    slow_requests.await?;
    let config = json!({ "config": { "text": "b" } });
    let validated = tenant
        .operator
        .post("plugins/acme/hostile/validate", &config)
        .await?;
    ensure!(validated.expect_status(200)?.json()?["ok"] == true);
    tenant.start_campaign(firmware, json!({})).await?;
    Ok(())
}

/// Compiling a component that takes minutes is aborted, and the server stays responsive.
#[test]
fn compiling_a_bomb_is_aborted() -> Result<()> {
    run_standalone(async || {
        let options = ServerOptions {
            compile_cpu: Some(Duration::from_secs(2)),
            ..ServerOptions::default()
        };
        let tenant = IsolatedTenant::with(Database::Sqlite, options).await?;
        let (refused, served) = tokio::join!(upload(&tenant, compile_bomb(40, 3000)?), async {
            for _ in 0..20 {
                tenant.viewer.get("campaigns").await?.expect_status(200)?;
            }
            anyhow::Ok(())
        });
        served?;
        let refused = refused?.expect_problem(422, "plugin_rejected")?;
        let detail = refused["detail"].as_str().unwrap_or_default();
        ensure!(detail.contains("more than 2 s of CPU time"), "{detail}");
        upload(&tenant, HostilePlugin::Honest.component()?)
            .await?
            .expect_status(201)?;
        Ok(())
    })
}

/// Uploads a component. If it is accepted, it is enabled.
async fn upload(tenant: &TestTenant, component: Vec<u8>) -> Result<HttpResponse> {
    let part = Part::bytes(component).file_name("hostile.wasm");
    let form = Form::new().part("component", part);
    let request = tenant.publisher.request(Method::POST, "plugins");
    let response = HttpResponse::fetch(request.multipart(form)).await?;
    if response.status == 201 {
        tenant.enable_plugin(&response.json()?).await?;
    }
    Ok(response)
}

/// Runs a campaign with a revision. Returns how it was stopped, or `None` if it completed.
async fn run_until_stopped(
    tenant: &IsolatedTenant,
    firmware: i64,
    revision: &Value,
) -> Result<Option<String>> {
    let strategy =
        json!({ "plugin": revision["plugin"], "revision": revision["revision"], "config": {} });
    let body = json!({ "strategy": strategy, "target_filter": null, "target_devices": ["edge-0"] });
    let id = tenant.create_campaign(firmware, body).await?;
    let started = tenant
        .operator
        .post(&format!("campaigns/{id}/start"), &json!({}))
        .await?;
    if started.status != 200 {
        started.expect_problem(409, "plan_failed")?;
        let campaign = tenant.get_campaign(id).await?;
        ensure!(
            campaign["status"] == "created" && campaign["waves"] == json!([]),
            "{campaign}"
        );
        return Ok(Some("no plan".to_owned()));
    }
    let status = wait_until("the campaign is stopped", async || {
        // A failed plugin is called again after a delay, three times in all.
        tenant.advance(Duration::from_secs(5));
        let campaign = tenant.get_campaign(id).await?;
        let status = campaign["status"].as_str().context("no status")?.to_owned();
        Ok((status != "in_progress").then_some((status, campaign)))
    })
    .await?;
    let (status, campaign) = status;
    ensure!(
        campaign["in_progress_devices"] == 0,
        "devices are in progress: {campaign}"
    );
    if status == "completed" {
        let waves = campaign["waves"].as_array().into_iter().flatten();
        let devices: u64 = waves.filter_map(|wave| wave["total"].as_u64()).sum();
        ensure!(
            devices == 1,
            "the waves have more devices than the campaign: {campaign}"
        );
        return Ok(None);
    }
    ensure!(campaign["hold"]["by"] == revision["plugin"], "{campaign}");
    ensure!(
        campaign["hold"]["reason"]
            .as_str()
            .is_some_and(|why| why.contains("3 times")),
        "{campaign}"
    );
    Ok(Some(status))
}
