//! A campaign whose strategy assigns devices to its waves: the trial `site-canaries`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use tidegate_e2e::{TestTenant, both_databases, components, wait_until};

use super::move_revision::uploaded;

both_databases!(devices_go_into_the_waves_that_the_strategy_assigns);

const SITES: [(&str, usize); 3] = [("oslo", 3), ("rome", 2), ("bern", 1)];

async fn devices_go_into_the_waves_that_the_strategy_assigns(tenant: TestTenant) -> Result<()> {
    let plugin = install(&tenant).await?;
    let mut sites = BTreeMap::new();
    let mut fleet = Vec::new();
    for (site, count) in SITES {
        let devices = tenant.create_devices(site, count).await?;
        try_join_all(devices.iter().map(|device| device.report([("site", site)]))).await?;
        sites.extend(devices.iter().map(|device| (device.id.clone(), site)));
        fleet.extend(devices);
    }
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let config = json!({ "canaries_per_site": 1, "soak_minutes": 0 });
    let strategy = json!({ "plugin": plugin, "config": config });
    let id = tenant
        .start_campaign(firmware, json!({ "strategy": strategy }))
        .await?;
    let waves = tenant.waves(id).await?;
    let devices_in: Vec<_> = waves
        .iter()
        .map(|wave| (&wave["name"], &wave["total"]))
        .collect();
    ensure!(
        devices_in
            == [
                (&json!("canaries"), &json!(3)),
                (&json!("others"), &json!(3))
            ],
        "{waves:?}"
    );

    let offered = wait_until("all canaries are offered", async || {
        let updates = tenant.updates(id).await?;
        Ok((updates.len() >= SITES.len()).then_some(updates))
    })
    .await?;
    let canaries: Vec<_> = offered
        .iter()
        .map(|update| update["device_id"].as_str().context("no device"))
        .collect::<Result<_>>()?;
    let of_sites: BTreeSet<_> = canaries.iter().map(|id| sites[*id]).collect();
    // One device of every site.
    ensure!(
        canaries.len() == SITES.len() && of_sites.len() == SITES.len(),
        "{canaries:?}"
    );

    let journal = tenant.journal(id).await?;
    let assigned: Vec<_> = journal
        .iter()
        .filter(|entry| entry["kind"] == "assign")
        .collect();
    ensure!(
        assigned.len() == 1 && assigned[0]["outcome"] == "ok",
        "{journal:?}"
    );
    let path = format!("campaigns/{id}/journal/{}", assigned[0]["seq"]);
    let question = tenant.viewer.get(&format!("{path}/question")).await?;
    let question = question.expect_status(200)?.json()?;
    let rows = question["expect"]["Ok"].as_array().context("no rows")?;
    let in_first = rows.iter().filter(|wave| **wave == 0).count();
    ensure!(
        question["call"] == "assign" && rows.len() == fleet.len() && in_first == SITES.len(),
        "{question}"
    );
    let (replay, none) = (format!("{path}/replay"), json!({}));
    let replay = tenant.viewer.post(&replay, &none).await?;
    let replay = replay.expect_status(200)?.json()?;
    ensure!(
        replay["same"] == true && replay["fuel"] == assigned[0]["fuel"],
        "{replay}"
    );

    tenant
        .wait_for_status_while(id, "completed", async || {
            for device in &mut fleet {
                device.install().await?;
            }
            Ok(())
        })
        .await?;
    let whole = format!("campaigns/{id}/journal/replay?limit=500");
    let whole = tenant.viewer.post(&whole, &none).await?;
    let whole = whole.expect_status(200)?.json()?;
    ensure!(whole["different"] == json!([]), "{whole}");
    Ok(())
}

/// Returns the name of the strategy.
async fn install(tenant: &TestTenant) -> Result<Value> {
    let file = components()?.join("trials/site-canaries.wasm");
    let component = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    Ok(uploaded(tenant, component).await?["plugin"].clone())
}
