//! The journal: every decision can be asked again, and is the same.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidegate_e2e::{Lab, both_databases};

both_databases!(every_entry_is_the_same_again);

async fn every_entry_is_the_same_again(lab: Lab) -> Result<()> {
    let mut fleet = lab.fleet("edge", 8).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let id = lab
        .start(
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
    lab.until_status_while(id, "completed", async || {
        for device in &mut fleet {
            device.install().await?;
        }
        Ok(())
    })
    .await?;

    let journal = lab.journal(id).await?;
    for kind in ["plan", "check", "evaluate", "decide"] {
        ensure!(
            journal.iter().any(|entry| entry["kind"] == kind),
            "no {kind} in {journal:?}"
        );
    }
    for (n, entry) in journal.iter().enumerate() {
        ensure!(entry["seq"] == n + 1, "the journal has gaps: {entry}");
        let replayed = replay(&lab, id, entry).await?;
        ensure!(replayed["same"] == true, "{entry}: {replayed}");
        ensure!(
            replayed["decision"] == replayed["recorded"],
            "{entry}: {replayed}"
        );
        ensure!(replayed["fuel"] == entry["fuel"], "{entry}: {replayed}");
    }

    // Another plugin's revision is no revision of this one.
    let decided = journal
        .iter()
        .find(|entry| entry["kind"] == "decide")
        .context("a decision")?;
    let staged = lab.viewer.get("plugins/staged").await?.is(200)?.json()?;
    let revision = staged["revisions"][0]["revision"]
        .as_str()
        .with_context(|| staged.to_string())?;
    let path = format!(
        "campaigns/{id}/journal/{}/replay?revision={revision}",
        decided["seq"]
    );
    lab.viewer
        .post(&path, &json!({}))
        .await?
        .problem(409, "other_plugin")?;
    for (seq, status) in [("0", 404), ("999999", 404), ("x", 404)] {
        let path = format!("campaigns/{id}/journal/{seq}/replay");
        lab.viewer
            .post(&path, &json!({}))
            .await?
            .problem(status, "not_found")?;
    }
    Ok(())
}

async fn replay(lab: &Lab, id: i64, entry: &Value) -> Result<Value> {
    let path = format!("campaigns/{id}/journal/{}/replay", entry["seq"]);
    lab.viewer.post(&path, &json!({})).await?.is(200)?.json()
}
