//! Connections to PostgreSQL that died without a word: the loops of the server go on, and it hears other servers again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_e2e::{
    Database, Device, FirmwareForm, ServerOptions, TestServer, TestTenant, run_standalone,
    wait_until,
};
use tidegate_faults::TcpProxy;

/// A statement takes 33 s at most; the rest is for a busy machine.
const RECOVERY: Duration = Duration::from_mins(2);

#[test]
fn loops_go_on_after_all_connections_fell_silent() -> Result<()> {
    if !Database::Postgres.is_available()? {
        return Ok(());
    }
    run_standalone(lose_connections)
}

async fn lose_connections() -> Result<()> {
    let server = TestServer::start(Database::Postgres, ServerOptions::default()).await?;
    let tenant = TestTenant::new(Arc::new(server)).await?;
    tenant.create_devices("edge", 3).await?;
    let details = json!({ "device_model": "edge" });
    let firmware = FirmwareForm::new("2.0.0").with(details);
    let firmware = firmware.upload(&tenant.publisher).await?;
    let body = json!({ "firmware_id": firmware, "timeout_minutes": 5 });
    let offered = tenant.operator.post("devices/edge-0/update", &body).await?;
    let update = offered.expect_status(201)?.json()?["update_id"].clone();

    let (proxy, theirs) = behind_proxy(&tenant).await?;
    // From now on only the server behind the proxy runs loops.
    tenant.server.engine.signals().stop();
    proxy.forget();

    // All are due at once.
    tenant.server.clock.advance(Duration::from_mins(6));
    let patch = tenant.operator.request(Method::PATCH, "devices/edge-1");
    let patched = patch.json(&json!({ "mode": "latest" })).send().await?;
    ensure!(patched.status() == 200, "{patched:?}");
    let id = tenant.start_campaign(firmware, json!({})).await?;
    wait("the overdue update has timed out", async || {
        let row = tenant.viewer.get(&format!("updates/{update}")).await?;
        Ok(row.expect_status(200)?.json()?["status"] == "timed_out")
    })
    .await?;
    wait("the latest release is offered", async || {
        let updates = tenant.viewer.list("devices/edge-1/updates").await?;
        Ok(updates.iter().any(|update| update["campaign_id"].is_null()))
    })
    .await?;
    wait("the campaign offers its firmware", async || {
        let updates = tenant.updates(id).await?;
        let is_offered = |update: &Value| update["device_id"] == "edge-2";
        Ok(updates.iter().any(is_offered))
    })
    .await?;
    wait("the server is ready again", async || {
        is_ready(&theirs).await
    })
    .await
}

#[test]
fn other_servers_are_heard_after_the_notifications_fell_silent() -> Result<()> {
    if !Database::Postgres.is_available()? {
        return Ok(());
    }
    run_standalone(lose_notifications)
}

async fn lose_notifications() -> Result<()> {
    let server = TestServer::start(Database::Postgres, ServerOptions::default()).await?;
    let tenant = TestTenant::new(Arc::new(server)).await?;
    let fleet = tenant.create_devices("edge", 2).await?;
    let [mut updated, waiting] = <[Device; 2]>::try_from(fleet).expect("two devices");
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let update = async |device: &Device| {
        let path = format!("devices/{}/update", device.id);
        let body = json!({ "firmware_id": firmware });
        let offered = tenant.operator.post(&path, &body).await?;
        offered.expect_status(201).map(drop)
    };
    update(&updated).await?;
    let (proxy, theirs) = behind_proxy(&tenant).await?;
    // Devices whose requests are refused come again.
    let is_offered = async |device: &Device| {
        let poll = theirs.device(&device.id).poll().await;
        poll.is_ok_and(|poll| poll.deployment_base().is_some())
    };
    ensure!(is_offered(&updated).await && !is_offered(&waiting).await);

    proxy.forget();
    while updated.install().await? {}
    update(&waiting).await?;
    wait("the completed update is offered no more", async || {
        Ok(!is_offered(&updated).await)
    })
    .await?;
    let mut stale_offers = 0;
    wait("the server is ready again", async || {
        stale_offers += usize::from(is_offered(&updated).await);
        is_ready(&theirs).await
    })
    .await?;
    stale_offers += usize::from(is_offered(&updated).await);
    ensure!(stale_offers == 0, "a completed update is offered again");
    ensure!(
        is_offered(&waiting).await,
        "the update of another server is not offered"
    );
    Ok(())
}

/// A second server, which reaches the database through a proxy and is ready.
async fn behind_proxy(tenant: &TestTenant) -> Result<(TcpProxy, TestTenant)> {
    let url = tenant.server.database_url();
    let (_, target) = url.rsplit_once('@').context("the host")?;
    let (target, _) = target.rsplit_once('/').context("the name")?;
    let proxy = TcpProxy::start(target).await?;
    let server = tenant.server.start_replica_through(proxy.addr()).await?;
    let theirs = tenant.at_server(Arc::new(server));
    wait("the server is ready", async || is_ready(&theirs).await).await?;
    Ok((proxy, theirs))
}

async fn is_ready(tenant: &TestTenant) -> Result<bool> {
    Ok(tenant.viewer.get("/readyz").await?.status == 200)
}

async fn wait(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    loop {
        let waiting = wait_until(what, async || Ok(holds().await?.then_some(()))).await;
        if waiting.is_ok() || began.elapsed() > RECOVERY {
            return waiting;
        }
    }
}
