//! Two servers on one PostgreSQL database whose clocks are five minutes apart: both go by the time of the database.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate_core::id::CampaignId;
use tidegate_e2e::{Database, TestServer, TestTenant, run_standalone, wait_until};
use tidegate_engine::{Engine, campaigns, ports::RunRef};

const AHEAD: Duration = Duration::from_mins(5);
const LEASE: Duration = Duration::from_secs(10);

#[test]
fn a_server_whose_clock_is_ahead_decides_nothing_early() -> Result<()> {
    if !Database::Postgres.is_available()? {
        return Ok(());
    }
    run_standalone(check_clock_ahead)
}

async fn check_clock_ahead() -> Result<()> {
    let server = TestServer::start_in_real_time(Database::Postgres).await?;
    let tenant = TestTenant::new(Arc::new(server)).await?;
    let here = &*tenant.server.engine;
    wait_until("the server with the right clock is ready", async || {
        let ready = tenant.viewer.get("/readyz").await?;
        Ok((ready.status == 200).then_some(()))
    })
    .await?;

    // The first server begins a watch of four minutes.
    let mut fleet = tenant.create_devices("edge", 10).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let config = json!({ "canary_percentage": 20, "canary_duration_minutes": 4, "steps": [100] });
    let changes = json!({
        "strategy": { "plugin": "canary", "config": config },
        "policies": [{ "plugin": "hardware", "config": {} }],
    });
    let id = tenant.start_campaign(firmware, changes).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    for device in &mut fleet {
        device.install().await?;
    }
    let watched = json!({ "completed_devices": 2, "in_progress_devices": 0, "pending_devices": 8 });
    tenant.wait_for_counts(id, watched.clone()).await?;
    let run = RunRef {
        tenant: tenant.record.id,
        campaign: CampaignId(id),
    };
    decide(here, &tenant, run).await?;
    // It also offers an update that has five minutes.
    let device = tenant.device("late-0");
    device.identify().await?;
    let body = json!({ "firmware_id": firmware, "timeout_minutes": 5 });
    let offered = tenant.operator.post("devices/late-0/update", &body).await?;
    let update = offered.expect_status(201)?.json()?["update_id"].clone();

    let ahead = Arc::new(tenant.server.start_replica_ahead(AHEAD).await?);
    let theirs = tenant.at_server(Arc::clone(&ahead));
    let there = &*ahead.engine;
    wait_until(
        "the other server says that its clock is wrong",
        async || {
            let unready = theirs.viewer.get("/readyz").await?.expect_status(503)?;
            let is_ahead = unready
                .text()
                .contains("s ahead of the one of the database");
            Ok(is_ahead.then_some(()))
        },
    )
    .await?;
    let apart = (there.now().0 - here.now().0).abs();
    ensure!(apart < 2000, "the servers are {apart} ms apart");

    // From now on the other server alone decides.
    here.signals().stop();
    decide(there, &tenant, run).await?;
    decide(there, &tenant, run).await?;
    tenant.wait_for_counts(id, watched).await?;
    ensure!(
        campaigns::expire_batch(there).await? == 0,
        "an update timed out"
    );
    let update = theirs.viewer.get(&format!("updates/{update}")).await?;
    let update = update.expect_status(200)?.json()?;
    ensure!(update["status"] == "offered", "{update}");

    let (owner, other) = (here.store(), there.store());
    let fence = wait_until("the lease is free", async || {
        let now = here.now();
        Ok(owner.lease(run, "here", now, now.plus(LEASE)).await?)
    })
    .await?;
    let now = there.now();
    let stolen = other.lease(run, "there", now, now.plus(LEASE)).await?;
    ensure!(stolen.is_none(), "the lease was stolen");
    let is_kept = owner
        .renew_lease(run, fence, here.now().plus(LEASE))
        .await?;
    ensure!(is_kept, "the lease was stolen");
    Ok(owner.release(run, fence).await?)
}

/// Has the strategy decide on this server.
async fn decide(engine: &Engine, tenant: &TestTenant, run: RunRef) -> Result<()> {
    let entries = async || anyhow::Ok(tenant.journal(run.campaign.0).await?.len());
    let before = entries().await?;
    wait_until("the strategy is called again", async || {
        campaigns::tick(engine, run).await.context("a tick")?;
        Ok((entries().await? > before).then_some(()))
    })
    .await
}
