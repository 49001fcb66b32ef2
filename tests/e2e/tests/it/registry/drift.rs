use anyhow::{Result, ensure};
use serde_json::json;
use tidegate_e2e::{Alone, both_databases};

both_databases!(a_device_that_drifts_is_shown_and_not_sent_round);

async fn a_device_that_drifts_is_shown_and_not_sent_round(lab: Alone) -> Result<()> {
    let mut fleet = lab.fleet("edge", 1).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let id = lab.start(firmware, json!({})).await?;
    lab.until_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    ensure!(fleet[0].install().await?);
    lab.until_status(id, "completed").await?;
    let device = &fleet[0];
    // It starts again with what it had, as often as it likes.
    for _ in 0..3 {
        device.report(json!({ "sw_version": "1.0.0" })).await?;
        let poll = device.poll().await?;
        ensure!(poll.deployment().is_none(), "it is sent round: {poll:?}");
    }
    let shown = lab.viewer.get("devices/edge-0").await?.ok()?;
    ensure!(
        shown["drift"]["expected"] == "2.0.0" && shown["drift"]["reported"] == "1.0.0",
        "{shown}"
    );
    let found = lab.viewer.list("devices?q=drifted==true").await?;
    ensure!(found.len() == 1, "{found:?}");
    let stats = lab.viewer.get("stats").await?.ok()?;
    ensure!(stats["devices"]["drifted"] == 1, "{stats}");
    let explained = lab.viewer.get("devices/edge-0/explain").await?.ok()?;
    ensure!(explained["device"]["drifted"] == true, "{explained}");

    let changes = lab.viewer.list("devices/edge-0/attributes/history").await?;
    let told: Vec<_> = changes
        .iter()
        .filter(|change| change["key"] == "sw_version")
        .map(|change| (&change["before"], &change["after"]))
        .collect();
    let (one, two) = (json!("1.0.0"), json!("2.0.0"));
    ensure!(
        told == [(&two, &one), (&one, &two), (&json!(null), &one)],
        "{changes:?}"
    );

    device.report(json!({ "sw_version": "2.0.0" })).await?;
    let shown = lab.viewer.get("devices/edge-0").await?.ok()?;
    ensure!(shown["drift"].is_null(), "{shown}");
    Ok(())
}
