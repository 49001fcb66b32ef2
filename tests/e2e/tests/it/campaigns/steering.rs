//! What operators do to a campaign that runs.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_e2e::{Answer, Lab, both_databases, until};

both_databases!(
    a_pause_lets_nobody_in,
    a_cancel_calls_everybody_back,
    a_gate_waits_for_an_operator,
    steps_out_of_turn_change_nothing,
    the_limit_in_flight_is_kept,
);

async fn a_pause_lets_nobody_in(lab: Lab) -> Result<()> {
    let mut fleet = lab.fleet("edge", 6).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let id = lab
        .start(firmware, json!({ "max_concurrent_updates": 2 }))
        .await?;
    lab.until_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    let (path, why) = (
        format!("campaigns/{id}/pause"),
        json!({ "reason": "lunch" }),
    );
    let paused = lab.operator.post(&path, &why).await?.ok()?;
    ensure!(
        paused["status"] == "paused" && paused["explain"].to_string().contains("lunch"),
        "{paused}"
    );

    // Those in flight go on, and are counted.
    for device in &mut fleet {
        device.install().await?;
    }
    lab.until_counts(
        id,
        json!({ "completed_devices": 2, "in_progress_devices": 0 }),
    )
    .await?;
    let asked = lab.journal(id).await?.len();
    for device in &mut fleet {
        ensure!(!device.install().await?, "{} was let in", device.id);
    }
    let campaign = lab.show(id).await?;
    ensure!(
        campaign["pending_devices"] == 4 && campaign["status"] == "paused",
        "{campaign}"
    );
    ensure!(
        lab.journal(id).await?.len() == asked,
        "plugins were asked during the pause"
    );

    lab.step(id, "resume").await?;
    let campaign = lab
        .until_status_while(id, "completed", async || {
            for device in &mut fleet {
                device.install().await?;
            }
            Ok(())
        })
        .await?;
    ensure!(campaign["completed_devices"] == 6, "{campaign}");
    Ok(())
}

async fn a_cancel_calls_everybody_back(lab: Lab) -> Result<()> {
    let mut fleet = lab.fleet("edge", 5).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let id = lab
        .start(firmware, json!({ "max_concurrent_updates": 3 }))
        .await?;
    lab.until_counts(id, json!({ "in_progress_devices": 3 }))
        .await?;
    // One is done before.
    for device in &mut fleet {
        if device.install().await? {
            break;
        }
    }
    lab.until_counts(
        id,
        json!({ "completed_devices": 1, "in_progress_devices": 3 }),
    )
    .await?;
    let cancelled = lab.step(id, "cancel").await?;
    ensure!(cancelled["status"] == "cancelled", "{cancelled}");

    let mut called_back = 0;
    for device in &mut fleet {
        let update = lab
            .updates(id)
            .await?
            .into_iter()
            .find(|update| update["device_id"] == device.id && update["status"] != "completed");
        if update.is_none() {
            continue;
        }
        called_back += 1;
        until("the device is called back", async || {
            Ok(device.poll().await?.cancel().map(drop))
        })
        .await?;
        ensure!(
            device.poll().await?.deployment().is_none(),
            "it is offered what is called back"
        );
        ensure!(device.install().await?, "it had nothing to agree to");
    }
    ensure!(called_back == 3, "{called_back} were called back");
    let campaign = lab
        .until_counts(id, json!({ "cancelled_devices": 3 }))
        .await?;
    ensure!(
        campaign["status"] == "cancelled" && campaign["pending_devices"] == 1,
        "{campaign}"
    );
    ensure!(campaign["actual_end"].is_string(), "{campaign}");
    for device in &fleet {
        let poll = device.poll().await?;
        ensure!(
            poll.deployment().is_none() && poll.cancel().is_none(),
            "{poll:?}"
        );
    }
    Ok(())
}

async fn a_gate_waits_for_an_operator(lab: Lab) -> Result<()> {
    let mut fleet = lab.fleet("edge", 4).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let strategy = json!({ "plugin": "canary", "config": {
        "canary_percentage": 25,
        "canary_duration_minutes": 0,
        "steps": [100],
        "require_approval": true,
    } });
    let id = lab.start(firmware, json!({ "strategy": strategy })).await?;
    let waits = |entry: &Value| entry["outcome"] == "await_operator";
    until("the strategy waits for an operator", async || {
        for device in &mut fleet {
            device.install().await?;
        }
        Ok(lab.journal(id).await?.iter().any(waits).then_some(()))
    })
    .await?;
    let campaign = lab.show(id).await?;
    ensure!(
        campaign["completed_devices"] == 1 && campaign["in_progress_devices"] == 0,
        "{campaign}"
    );

    let advance = async |wave: &str| {
        lab.operator
            .post(&format!("campaigns/{id}/waves/{wave}/advance"), &json!({}))
            .await
    };
    advance("7").await?.problem(404, "not_found")?;
    advance("x").await?.problem(404, "not_found")?;
    advance("0").await?.problem(409, "gate_passed")?;
    advance("1").await?.is(200)?;
    let campaign = lab
        .until_status_while(id, "completed", async || {
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
    advance("1").await?.problem(409, "invalid_transition")?;
    Ok(())
}

async fn steps_out_of_turn_change_nothing(lab: Lab) -> Result<()> {
    lab.fleet("edge", 1).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let id = lab.campaign(firmware, json!({})).await?;
    let refused = async |steps: &[&str]| -> Result<()> {
        for step in steps {
            let before = standing(&lab, id).await?;
            let path = format!("campaigns/{id}/{step}");
            lab.operator
                .post(&path, &json!({}))
                .await?
                .problem(409, "invalid_transition")?;
            ensure!(
                standing(&lab, id).await? == before,
                "{step} changed something"
            );
        }
        Ok(())
    };
    refused(&["pause", "resume", "rollback", "waves/0/advance"]).await?;
    lab.step(id, "start").await?;
    lab.until_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    refused(&["start", "resume"]).await?;
    lab.step(id, "pause").await?;
    refused(&["start", "pause", "waves/0/advance"]).await?;
    lab.step(id, "cancel").await?;
    lab.until_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    refused(&["start", "pause", "resume", "cancel", "waves/0/advance"]).await?;
    let change = lab
        .operator
        .request(Method::PATCH, &format!("campaigns/{id}"));
    Answer::of(change.json(&json!({ "priority": "high" })))
        .await?
        .problem(409, "invalid_transition")?;
    Ok(())
}

/// What operators see of a campaign, but for the sentences and counters that its own loop writes meanwhile.
async fn standing(lab: &Lab, id: i64) -> Result<Value> {
    let mut campaign = lab.show(id).await?;
    for moving in ["explain", "waves", "pending_devices", "in_progress_devices"] {
        campaign[moving] = Value::Null;
    }
    Ok(campaign)
}

async fn the_limit_in_flight_is_kept(lab: Lab) -> Result<()> {
    let mut fleet = lab.fleet("edge", 9).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let id = lab
        .start(firmware, json!({ "max_concurrent_updates": 2 }))
        .await?;
    lab.until_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    let raise = lab
        .operator
        .request(Method::PATCH, &format!("campaigns/{id}"));
    Answer::of(raise.json(&json!({ "max_concurrent_updates": 4 })))
        .await?
        .is(200)?;
    lab.until_counts(id, json!({ "in_progress_devices": 4 }))
        .await?;
    let mut most = 0;
    lab.until_status_while(id, "completed", async || {
        for device in &mut fleet {
            let now = lab.show(id).await?["in_progress_devices"]
                .as_u64()
                .unwrap_or_default();
            most = most.max(now);
            device.install().await?;
        }
        Ok(())
    })
    .await?;
    ensure!(most == 4, "{most} were in flight at once");
    Ok(())
}
