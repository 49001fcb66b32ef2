//! Commands of operators to a running campaign.

use anyhow::{Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_core::id::CampaignId;
use tidegate_e2e::{
    HttpResponse, IsolatedTenant, RestResponse as _, TestTenant, both_databases, wait_until,
};
use tidegate_engine::{campaigns, ports::RunRef};

both_databases!(
    a_pause_stops_new_offers,
    a_cancel_cancels_every_open_update,
    a_gate_waits_for_an_operator,
    an_operator_advances_past_any_gate,
    an_advance_that_opens_nothing_is_used_up,
    an_advance_that_is_decided_on_later_is_explained,
    a_campaign_that_a_gate_held_goes_on_when_it_is_resumed,
    invalid_transitions_change_nothing,
    max_concurrent_updates_is_respected,
);

async fn a_pause_stops_new_offers(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 6).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant
        .start_campaign(firmware, json!({ "max_concurrent_updates": 2 }))
        .await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    let (path, why) = (
        format!("campaigns/{id}/pause"),
        json!({ "reason": "lunch" }),
    );
    let paused = tenant.operator.post(&path, &why).await?.expect_success()?;
    ensure!(
        paused["status"] == "paused" && paused["explain"].to_string().contains("lunch"),
        "{paused}"
    );

    // Updates in flight continue and are counted.
    for device in &mut fleet {
        device.install().await?;
    }
    tenant
        .wait_for_counts(
            id,
            json!({ "completed_devices": 2, "in_progress_devices": 0 }),
        )
        .await?;
    let asked = tenant.journal(id).await?.len();
    for device in &mut fleet {
        ensure!(
            !device.install().await?,
            "{} was offered an update during the pause",
            device.id
        );
    }
    let campaign = tenant.get_campaign(id).await?;
    ensure!(
        campaign["pending_devices"] == 4 && campaign["status"] == "paused",
        "{campaign}"
    );
    ensure!(
        tenant.journal(id).await?.len() == asked,
        "plugins were called during the pause"
    );

    tenant.send_command(id, "resume").await?;
    let campaign = tenant
        .wait_for_status_while(id, "completed", async || {
            for device in &mut fleet {
                device.install().await?;
            }
            Ok(())
        })
        .await?;
    ensure!(campaign["completed_devices"] == 6, "{campaign}");
    Ok(())
}

async fn a_cancel_cancels_every_open_update(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 5).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant
        .start_campaign(firmware, json!({ "max_concurrent_updates": 3 }))
        .await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 3 }))
        .await?;
    // One device is done before the cancellation.
    for device in &mut fleet {
        if device.install().await? {
            break;
        }
    }
    tenant
        .wait_for_counts(
            id,
            json!({ "completed_devices": 1, "in_progress_devices": 3 }),
        )
        .await?;
    let cancelled = tenant.send_command(id, "cancel").await?;
    ensure!(cancelled["status"] == "cancelled", "{cancelled}");

    let mut cancelled = 0;
    for device in &mut fleet {
        let update = tenant
            .updates(id)
            .await?
            .into_iter()
            .find(|update| update["device_id"] == device.id && update["status"] != "completed");
        if update.is_none() {
            continue;
        }
        cancelled += 1;
        wait_until("the update is being cancelled", async || {
            Ok(device.poll().await?.cancel_action().map(drop))
        })
        .await?;
        ensure!(
            device.poll().await?.deployment_base().is_none(),
            "the cancelling update is offered"
        );
        ensure!(
            device.install().await?,
            "there was no cancellation to confirm"
        );
    }
    ensure!(cancelled == 3, "{cancelled} updates were cancelled");
    let campaign = tenant
        .wait_for_counts(id, json!({ "cancelled_devices": 3 }))
        .await?;
    ensure!(
        campaign["status"] == "cancelled" && campaign["pending_devices"] == 1,
        "{campaign}"
    );
    ensure!(campaign["actual_end"].is_string(), "{campaign}");
    for device in &fleet {
        let poll = device.poll().await?;
        ensure!(
            poll.deployment_base().is_none() && poll.cancel_action().is_none(),
            "{poll:?}"
        );
    }
    Ok(())
}

async fn a_gate_waits_for_an_operator(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 4).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let strategy = json!({ "plugin": "canary", "config": {
        "canary_percentage": 25,
        "canary_duration_minutes": 0,
        "steps": [100],
        "require_approval": true,
    } });
    let id = tenant
        .start_campaign(firmware, json!({ "strategy": strategy }))
        .await?;
    let waits = |entry: &Value| entry["outcome"] == "await_operator";
    wait_until("the strategy waits for an operator", async || {
        for device in &mut fleet {
            device.install().await?;
        }
        Ok(tenant.journal(id).await?.iter().any(waits).then_some(()))
    })
    .await?;
    let campaign = tenant.get_campaign(id).await?;
    ensure!(
        campaign["completed_devices"] == 1 && campaign["in_progress_devices"] == 0,
        "{campaign}"
    );

    let advance = async |wave: &str| {
        tenant
            .operator
            .post(&format!("campaigns/{id}/waves/{wave}/advance"), &json!({}))
            .await
    };
    advance("7").await?.expect_problem(404, "not_found")?;
    advance("x").await?.expect_problem(404, "not_found")?;
    advance("0").await?.expect_problem(409, "gate_passed")?;
    let advanced = advance("1").await?.expect_success()?;
    let reason = advanced["reason"].as_str().unwrap_or_default();
    ensure!(
        advanced["applied"] == true && reason.contains("needs an operator's approval"),
        "{advanced}"
    );
    let campaign = tenant
        .wait_for_status_while(id, "completed", async || {
            for device in &mut fleet {
                device.install().await?;
            }
            Ok(())
        })
        .await?;
    ensure!(
        campaign["waves"][1]["advanced_at"].is_string(),
        "{campaign}"
    );
    advance("1")
        .await?
        .expect_problem(409, "invalid_transition")?;
    Ok(())
}

async fn a_campaign_that_a_gate_held_goes_on_when_it_is_resumed(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 4).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let stages = json!([{ "percentage": 50 }, { "percentage": 100 }]);
    let config = json!({ "stages": stages, "success_percentage": 80 });
    let changes = json!({
        "strategy": { "plugin": "staged", "config": config }, "failure_threshold_percent": 100,
    });
    let id = tenant.start_campaign(firmware, changes).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    let mut reported = 0;
    for device in &mut fleet {
        if device.offer().await?.is_none() {
            continue;
        }
        reported += 1;
        if reported == 1 {
            device.fail("E7").await?;
        } else {
            device.install().await?;
        }
    }
    tenant.wait_for_status(id, "held").await?;

    let path = format!("campaigns/{id}/waves/1/advance");
    let advanced = tenant.operator.post(&path, &json!({})).await?;
    let problem = advanced.expect_problem(409, "invalid_transition")?;
    let detail = problem["detail"].as_str().unwrap_or_default();
    ensure!(detail.contains("resume it"), "{problem}");
    tenant.send_command(id, "resume").await?;
    let campaign = tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    let explain = campaign["explain"].to_string();
    ensure!(
        campaign["status"] == "in_progress"
            && explain.contains("An operator has resumed the campaign."),
        "{campaign}"
    );
    Ok(())
}

async fn an_operator_advances_past_any_gate(tenant: TestTenant) -> Result<()> {
    let fleet = tenant.create_devices("edge", 4).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let strategy = json!({ "plugin": "canary", "config": {
        "canary_percentage": 25,
        "canary_duration_minutes": 60,
        "steps": [50, 100],
    } });
    let id = tenant
        .start_campaign(firmware, json!({ "strategy": strategy }))
        .await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    let advance = async |wave: u32| {
        tenant
            .operator
            .post(&format!("campaigns/{id}/waves/{wave}/advance"), &json!({}))
            .await
    };
    advance(2).await?.expect_problem(409, "not_next")?;
    let advanced = advance(1).await?.expect_success()?;
    let reason = advanced["reason"].as_str().unwrap_or_default();
    ensure!(
        advanced["applied"] == true
            && reason.contains("opens when every device of 'canary' has ended"),
        "{advanced}"
    );
    let wave = &advanced["waves"][1];
    ensure!(
        wave["released"] == 1 && wave["advance"]["applied"] == true,
        "{advanced}"
    );

    // Each device of the wave can say who opened it, past which gate.
    let by = wave["advance"]["by"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    ensure!(!by.is_empty(), "{advanced}");
    let mut members = 0;
    for device in &fleet {
        let path = format!("devices/{}/explain", device.id);
        let reasons =
            tenant.operator.get(&path).await?.expect_success()?["items"][0]["reasons"].to_string();
        if reasons.contains("in wave 1 (") {
            ensure!(
                reasons.contains(&format!("{by} advanced the campaign past the gate"))
                    && reasons.contains("An operator advanced past this gate"),
                "{reasons}"
            );
            members += 1;
        }
    }
    ensure!(members == 1, "{members} devices are members of the wave");
    Ok(())
}

async fn an_advance_that_is_decided_on_later_is_explained(tenant: IsolatedTenant) -> Result<()> {
    let fleet = tenant.create_devices("edge", 2).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let strategy = json!({ "plugin": "canary", "config": {
        "canary_percentage": 50,
        "canary_duration_minutes": 60,
        "steps": [100],
    } });
    let id = tenant
        .start_campaign(firmware, json!({ "strategy": strategy }))
        .await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    // No loop processes the campaign any more.
    let engine = &tenant.server.engine;
    engine.signals().stop();
    let path = format!("campaigns/{id}/waves/1/advance");
    let accepted = tenant.operator.post(&path, &json!({})).await?;
    let accepted = accepted.expect_status(202)?.json()?;
    ensure!(
        accepted["applied"].is_null() && accepted["waves"][1]["released"] == 0,
        "{accepted}"
    );
    let advance = &accepted["waves"][1]["advance"];
    ensure!(
        advance["by"] == "operator" && advance["applied"].is_null(),
        "{accepted}"
    );
    let reasons = async || -> Result<String> {
        for device in &fleet {
            let path = format!("devices/{}/explain", device.id);
            let explained = tenant.viewer.get(&path).await?.expect_success()?;
            let reasons = explained["items"][0]["reasons"].to_string();
            if reasons.contains("in wave 1 (") {
                return Ok(reasons);
            }
        }
        bail!("no device is in wave 1")
    };
    let before = reasons().await?;
    let waits = "operator advanced the campaign past the gate before wave";
    ensure!(
        before.contains(waits) && before.contains("; the next decision takes that into account"),
        "{before}"
    );

    let run = RunRef {
        tenant: tenant.record.id,
        campaign: CampaignId(id),
    };
    wait_until("a decision takes it into account", async || {
        campaigns::tick(engine, run).await?;
        let campaign = tenant.get_campaign(id).await?;
        let applied = &campaign["waves"][1]["advance"]["applied"];
        Ok(applied.as_bool())
    })
    .await?;
    let campaign = tenant.get_campaign(id).await?;
    let wave = &campaign["waves"][1];
    ensure!(
        wave["advance"]["applied"] == true && wave["released"] == 1,
        "{campaign}"
    );
    let after = reasons().await?;
    ensure!(
        after.contains(waits)
            && after.contains("An operator advanced past this gate")
            && !after.contains("the next decision takes that into account"),
        "{after}"
    );
    Ok(())
}

async fn an_advance_that_opens_nothing_is_used_up(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 2).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let strategy = json!({ "plugin": "canary", "config": {
        "canary_percentage": 50,
        "canary_duration_minutes": 0,
        "steps": [100],
        "require_approval": true,
    } });
    let body = json!({ "strategy": strategy, "max_concurrent_updates": 1 });
    let id = tenant.start_campaign(firmware, body).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    let path = format!("campaigns/{id}/waves/1/advance");
    let refused = tenant
        .operator
        .post(&path, &json!({}))
        .await?
        .expect_success()?;
    let reason = refused["reason"].as_str().unwrap_or_default();
    ensure!(
        refused["applied"] == false
            && reason.contains("The limit of 1 devices in flight is reached"),
        "{refused}"
    );
    ensure!(refused["waves"][1]["advanced_at"].is_null(), "{refused}");
    let waits = |entry: &Value| entry["outcome"] == "await_operator";
    wait_until("the strategy waits for an operator", async || {
        for device in &mut fleet {
            device.install().await?;
        }
        Ok(tenant.journal(id).await?.iter().any(waits).then_some(()))
    })
    .await
}

async fn invalid_transitions_change_nothing(tenant: TestTenant) -> Result<()> {
    tenant.create_devices("edge", 1).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant.create_campaign(firmware, json!({})).await?;
    let rejects_commands = async |commands: &[&str]| -> Result<()> {
        for command in commands {
            let before = stable_fields(&tenant, id).await?;
            let path = format!("campaigns/{id}/{command}");
            tenant
                .operator
                .post(&path, &json!({}))
                .await?
                .expect_problem(409, "invalid_transition")?;
            ensure!(
                stable_fields(&tenant, id).await? == before,
                "{command} changed the campaign"
            );
        }
        Ok(())
    };
    rejects_commands(&["pause", "resume", "rollback", "waves/0/advance"]).await?;
    tenant.send_command(id, "start").await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    rejects_commands(&["start", "resume"]).await?;
    tenant.send_command(id, "pause").await?;
    rejects_commands(&["start", "pause", "waves/0/advance"]).await?;
    tenant.send_command(id, "cancel").await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    rejects_commands(&["start", "pause", "resume", "cancel", "waves/0/advance"]).await?;
    let change = tenant
        .operator
        .request(Method::PATCH, &format!("campaigns/{id}"));
    HttpResponse::fetch(change.json(&json!({ "priority": "high" })))
        .await?
        .expect_problem(409, "invalid_transition")?;
    Ok(())
}

/// A campaign without the fields that its own loop changes meanwhile.
async fn stable_fields(tenant: &TestTenant, id: i64) -> Result<Value> {
    let mut campaign = tenant.get_campaign(id).await?;
    for moving in ["explain", "waves", "pending_devices", "in_progress_devices"] {
        campaign[moving] = Value::Null;
    }
    Ok(campaign)
}

async fn max_concurrent_updates_is_respected(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 9).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant
        .start_campaign(firmware, json!({ "max_concurrent_updates": 2 }))
        .await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    let raise = tenant
        .operator
        .request(Method::PATCH, &format!("campaigns/{id}"));
    HttpResponse::fetch(raise.json(&json!({ "max_concurrent_updates": 4 })))
        .await?
        .expect_status(200)?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 4 }))
        .await?;
    let mut most = 0;
    tenant
        .wait_for_status_while(id, "completed", async || {
            for device in &mut fleet {
                let now = tenant.get_campaign(id).await?["in_progress_devices"]
                    .as_u64()
                    .unwrap_or_default();
                most = most.max(now);
                device.install().await?;
            }
            Ok(())
        })
        .await?;
    ensure!(most == 4, "{most} devices were in flight");
    Ok(())
}
