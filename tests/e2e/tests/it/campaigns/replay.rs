//! The journal: every decision can be replayed with the same result.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidegate_e2e::{RestResponse as _, TestTenant, both_databases};

both_databases!(every_entry_replays_identically);

async fn every_entry_replays_identically(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 8).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant
        .start_campaign(
            firmware,
            json!({
                "strategy": { "plugin": "canary", "config": { "canary_duration_minutes": 0 } },
                "policies": [
                    { "plugin": "hardware", "config": {} },
                    { "plugin": "version-path", "config": {} },
                    { "plugin": "failure-rate", "config": { "minimum_sample": 1 } },
                    { "plugin": "timeout", "config": {} },
                ],
            }),
        )
        .await?;
    tenant
        .wait_for_status_while(id, "completed", async || {
            for device in &mut fleet {
                device.install().await?;
            }
            Ok(())
        })
        .await?;

    let journal = tenant.journal(id).await?;
    for kind in ["plan", "check", "evaluate", "decide"] {
        ensure!(
            journal.iter().any(|entry| entry["kind"] == kind),
            "no {kind} in {journal:?}"
        );
    }
    for (n, entry) in journal.iter().enumerate() {
        ensure!(entry["seq"] == n + 1, "the journal has gaps: {entry}");
        let replayed = replay(&tenant, id, entry).await?;
        ensure!(replayed["same"] == true, "{entry}: {replayed}");
        ensure!(
            replayed["decision"] == replayed["recorded"],
            "{entry}: {replayed}"
        );
        ensure!(replayed["fuel"] == entry["fuel"], "{entry}: {replayed}");
    }

    for entry in &journal {
        let question = question(&tenant, id, entry).await?;
        let replayed = replay(&tenant, id, entry).await?;
        ensure!(
            question["call"] == entry["kind"]
                && question["expect"] == replayed["recorded"]["answer"],
            "{entry}: {question}"
        );
        // The sandbox reads it as a golden.
        tidegate_sandbox::Golden::parse(&question.to_string())?;
    }
    let all = json!({});
    let path = format!("campaigns/{id}/journal/replay?limit=500");
    let whole = tenant.viewer.post(&path, &all).await?;
    let whole = whole.expect_status(200)?.json()?;
    ensure!(
        whole["entries"] == journal.len() && whole["same"] == journal.len(),
        "{whole}"
    );

    // A revision of another plugin is not accepted.
    let decided = journal
        .iter()
        .find(|entry| entry["kind"] == "decide")
        .context("no decision")?;
    let staged = tenant
        .viewer
        .get("plugins/tidegate/staged")
        .await?
        .expect_status(200)?
        .json()?;
    let revision = staged["revisions"][0]["revision"]
        .as_str()
        .with_context(|| staged.to_string())?;
    let path = format!(
        "campaigns/{id}/journal/{}/replay?revision={revision}",
        decided["seq"]
    );
    tenant
        .viewer
        .post(&path, &json!({}))
        .await?
        .expect_problem(409, "other_plugin")?;
    for (seq, status) in [("0", 404), ("999999", 404), ("x", 404)] {
        let path = format!("campaigns/{id}/journal/{seq}/replay");
        tenant
            .viewer
            .post(&path, &json!({}))
            .await?
            .expect_problem(status, "not_found")?;
    }
    Ok(())
}

async fn replay(tenant: &TestTenant, id: i64, entry: &Value) -> Result<Value> {
    let path = format!("campaigns/{id}/journal/{}/replay", entry["seq"]);
    Ok(tenant
        .viewer
        .post(&path, &json!({}))
        .await?
        .expect_status(200)?
        .json()?)
}

async fn question(tenant: &TestTenant, id: i64, entry: &Value) -> Result<Value> {
    let path = format!("campaigns/{id}/journal/{}/question", entry["seq"]);
    Ok(tenant.viewer.get(&path).await?.expect_status(200)?.json()?)
}
