//! Explanations why a device was or was not offered a firmware.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidegate_e2e::{RestResponse as _, TestTenant, both_databases};

both_databases!(
    every_membership_is_explained,
    the_campaign_with_an_open_update_comes_first,
);

async fn the_campaign_with_an_open_update_comes_first(tenant: TestTenant) -> Result<()> {
    tenant.create_devices("edge", 2).await?;
    let mut ids = Vec::new();
    for (version, target) in [
        ("2.0.0", "edge-0"),
        ("3.0.0", "edge-1"),
        ("4.0.0", "edge-1"),
    ] {
        let firmware = tenant.upload_firmware(version).await?;
        let only = json!({ "target_filter": null, "target_devices": [target] });
        ids.push(tenant.start_campaign(firmware, only).await?);
    }
    tenant
        .wait_for_counts(ids[0], json!({ "in_progress_devices": 1 }))
        .await?;
    let never_started = tenant.upload_firmware("5.0.0").await?;
    tenant.create_campaign(never_started, json!({})).await?;
    let page = async |query: &str| -> Result<(Vec<Value>, Value)> {
        let path = format!("devices/edge-0/explain{query}");
        let page = tenant.viewer.get(&path).await?.expect_success()?;
        let items = page["items"].as_array().into_iter().flatten();
        let ids = items.map(|item| item["campaign_id"].clone());
        Ok((ids.collect(), page["total"].clone()))
    };
    let [open, second, third] = [0, 1, 2].map(|at| json!(ids[at]));
    for (query, expected) in [
        (
            "",
            (vec![open.clone(), third.clone(), second.clone()], json!(3)),
        ),
        ("?limit=1", (vec![open], json!(3))),
        ("?limit=1&offset=1", (vec![third], json!(3))),
        (
            &format!("?campaign_id={second}"),
            (vec![second.clone()], json!(1)),
        ),
    ] {
        let found = page(query).await?;
        ensure!(found == expected, "{query}: {found:?}");
    }
    Ok(())
}

async fn every_membership_is_explained(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 4).await?;
    let other = tenant.device("tower-0");
    other.poll().await?;
    other
        .report([
            ("hw_model", "tower"),
            ("hw_revision", "1.0"),
            ("sw_version", "1.0.0"),
        ])
        .await?;
    let other_model = tenant.device("stranger-0");
    other_model.poll().await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let body = json!({
        "target_filter": "hw_model=in=(edge,tower)",
        "strategy": { "plugin": "canary", "config": { "canary_percentage": 25, "steps": [75] } },
        "policies": [{ "plugin": "hardware", "config": {} }],
    });
    let id = tenant.create_campaign(firmware, body).await?;
    let membership = async |device: &str| -> Result<Value> {
        let all = tenant
            .viewer
            .get(&format!("devices/{device}/explain?campaign_id={id}"))
            .await?
            .expect_status(200)?
            .json()?;
        let items = all["items"].as_array().with_context(|| all.to_string())?;
        let one = items.iter().find(|item| item["campaign_id"] == id);
        one.cloned().with_context(|| all.to_string())
    };
    ensure!(membership("edge-0").await?["standing"] == "not_started");
    tenant.send_command(id, "start").await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;

    let left_out = membership("tower-0").await?;
    ensure!(left_out["standing"] == "excluded", "{left_out}");
    let reasons = left_out["reasons"].to_string();
    ensure!(
        reasons.contains("tower") && reasons.contains("edge"),
        "{reasons}"
    );
    ensure!(left_out["updates"] == json!([]), "{left_out}");
    ensure!(membership("stranger-0").await?["standing"] == "not_selected");

    let mut memberships = Vec::new();
    for device in &mut fleet {
        let explained = membership(&device.id).await?;
        let reasons = explained["reasons"].as_array().map_or(0, Vec::len);
        ensure!(reasons > 0, "{explained}");
        if explained["standing"] == "admitted" {
            ensure!(
                explained["updates"][0]["to_version"] == "2.0.0",
                "{explained}"
            );
            ensure!(
                device.install().await?,
                "{} was not offered the update",
                device.id
            );
        }
        memberships.push(
            explained["standing"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        );
    }
    memberships.sort_unstable();
    ensure!(
        memberships == ["admitted", "in_no_wave", "waiting", "waiting"],
        "{memberships:?}"
    );

    let campaign = tenant.get_campaign(id).await?;
    ensure!(
        campaign["total_devices"] == 5 && campaign["excluded_devices"] == 2,
        "{campaign}"
    );
    tenant
        .viewer
        .get("devices/unknown/explain")
        .await?
        .expect_problem(404, "not_found")?;
    Ok(())
}
