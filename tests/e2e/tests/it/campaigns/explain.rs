//! Why a device has, or has not, been given a firmware.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidegate_e2e::{Lab, both_databases};

both_databases!(every_standing_is_explained);

async fn every_standing_is_explained(lab: Lab) -> Result<()> {
    let mut fleet = lab.fleet("edge", 4).await?;
    let other = lab.device("tower-0");
    other.poll().await?;
    other
        .report(json!({ "hw_model": "tower", "hw_revision": "1.0", "sw_version": "1.0.0" }))
        .await?;
    let stranger = lab.device("stranger-0");
    stranger.poll().await?;
    let firmware = lab.firmware("2.0.0").await?;
    let body = json!({
        "target_filter": "hw_model=in=(edge,tower)",
        "strategy": { "plugin": "canary", "config": { "canary_percentage": 25, "steps": [75] } },
        "policies": [{ "plugin": "hardware", "config": {} }],
    });
    let id = lab.campaign(firmware, body).await?;
    let standing = async |device: &str| -> Result<Value> {
        let all = lab
            .viewer
            .get(&format!("devices/{device}/explain"))
            .await?
            .is(200)?
            .json()?;
        let items = all["items"].as_array().with_context(|| all.to_string())?;
        let one = items.iter().find(|item| item["campaign_id"] == id);
        one.cloned().with_context(|| all.to_string())
    };
    ensure!(standing("edge-0").await?["standing"] == "not_started");
    lab.step(id, "start").await?;
    lab.until_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;

    let left_out = standing("tower-0").await?;
    ensure!(left_out["standing"] == "excluded", "{left_out}");
    let reasons = left_out["reasons"].to_string();
    ensure!(
        reasons.contains("tower") && reasons.contains("edge"),
        "{reasons}"
    );
    ensure!(left_out["updates"] == json!([]), "{left_out}");
    ensure!(standing("stranger-0").await?["standing"] == "not_selected");

    let mut seen = Vec::new();
    for device in &mut fleet {
        let explained = standing(&device.id).await?;
        let reasons = explained["reasons"].as_array().map_or(0, Vec::len);
        ensure!(reasons > 0, "{explained}");
        if explained["standing"] == "admitted" {
            ensure!(
                explained["updates"][0]["to_version"] == "2.0.0",
                "{explained}"
            );
            ensure!(device.install().await?, "{} was not let in", device.id);
        }
        seen.push(
            explained["standing"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        );
    }
    seen.sort_unstable();
    ensure!(
        seen == ["admitted", "in_no_wave", "waiting", "waiting"],
        "{seen:?}"
    );

    let campaign = lab.show(id).await?;
    ensure!(
        campaign["total_devices"] == 5 && campaign["excluded_devices"] == 2,
        "{campaign}"
    );
    lab.viewer
        .get("devices/nobody/explain")
        .await?
        .problem(404, "not_found")?;
    Ok(())
}
