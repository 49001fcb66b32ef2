//! A campaign that is moved to another revision of its strategy.

use anyhow::{Result, ensure};
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use tidegate_e2e::{HttpResponse, RestResponse as _, TestTenant, both_databases, wait_until};
use tidegate_hostile::{Hooks, strategy_with};

both_databases!(a_running_campaign_moves_to_a_corrected_strategy);

async fn a_running_campaign_moves_to_a_corrected_strategy(tenant: TestTenant) -> Result<()> {
    tenant.create_devices("edge", 3).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let [before, after] = two_versions(&tenant).await?;
    ensure!(before["version"] != after["version"], "{after}");
    let strategy =
        json!({ "plugin": "acme/hostile", "revision": before["revision"], "config": {} });
    let id = tenant
        .start_campaign(firmware, json!({ "strategy": strategy }))
        .await?;
    let decides_by = async |revision: &Value| -> Result<bool> {
        let journal = tenant.journal(id).await?;
        let last = journal.iter().rfind(|entry| entry["kind"] == "decide");
        Ok(last.is_some_and(|entry| entry["revision"] == *revision))
    };
    wait_until("the first revision decides", async || {
        Ok(decides_by(&before["revision"]).await?.then_some(()))
    })
    .await?;

    let path = format!("campaigns/{id}/move");
    let request = json!({ "revision": after["revision"] });
    for client in [&tenant.viewer, &tenant.operator] {
        client
            .post(&path, &request)
            .await?
            .expect_problem(403, "role_missing")?;
    }
    // The whole journal is the same with the revision, which shows that it decides as the one before.
    let moved = tenant.admin.post(&path, &request).await?;
    let moved = moved.expect_status(200)?.json()?;
    ensure!(
        moved["strategy"]["revision"] == after["revision"] && moved["status"] == "in_progress",
        "{moved}"
    );
    let journal = tenant.journal(id).await?;
    let repinned = journal
        .iter()
        .filter(|entry| entry["outcome"] == "repinned");
    ensure!(repinned.count() == 1, "{journal:?}");
    wait_until("the other revision decides", async || {
        Ok(decides_by(&after["revision"]).await?.then_some(()))
    })
    .await?;
    tenant.send_command(id, "cancel").await?;
    tenant
        .admin
        .post(&path, &request)
        .await?
        .expect_problem(409, "invalid_transition")?;
    Ok(())
}

/// Two versions of a strategy, which are enabled and decide alike: they proceed and release nothing.
pub(crate) async fn two_versions(tenant: &TestTenant) -> Result<[Value; 2]> {
    let proceeds =
        || Hooks::default().decide("(i32.store (i32.const 656) (i32.const 0)) (i32.const 640)");
    let other = proceeds().extra("(func $unused)");
    Ok([
        uploaded(tenant, strategy_with(&proceeds())?).await?,
        uploaded(tenant, strategy_with(&other)?).await?,
    ])
}

/// Uploads and enables a component. Returns its revision.
pub(crate) async fn uploaded(tenant: &TestTenant, component: Vec<u8>) -> Result<Value> {
    let part = Part::bytes(component).file_name("plugin.wasm");
    let form = Form::new().part("component", part);
    let upload = tenant.publisher.request(Method::POST, "plugins");
    let uploaded = HttpResponse::fetch(upload.multipart(form)).await?;
    let uploaded = uploaded.expect_success()?;
    tenant.enable_plugin(&uploaded).await?;
    Ok(uploaded)
}
