//! Two servers on one PostgreSQL database: each serves every device, and a campaign is processed by one of them at
//! a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate_e2e::{Database, Device, Events, Execution, IsolatedTenant, run, wait_until};
use tidegate_engine::{Actor, fingerprint, tenants};
use tidegate_faults::MachineDelay;

use crate::file_fetches::{Download, upload};

#[test]
fn two_servers_share_one_database() -> Result<()> {
    run(
        Database::Postgres,
        "two_hosts_are_one_server",
        on_two_servers,
    )
}

async fn on_two_servers(tenant: IsolatedTenant) -> Result<()> {
    let other = Arc::new(tenant.server.start_replica().await?);
    let theirs = tenant.at_server(Arc::clone(&other));
    let mut fleet = tenant.create_devices("edge", 6).await?;
    let mut same: Vec<Device> = fleet
        .iter()
        .map(|device| theirs.device(&device.id))
        .collect();
    // Both servers cache that there is nothing to do for each device.
    for device in &same {
        ensure!(
            device.poll().await?.deployment_base().is_none(),
            "an update is offered"
        );
    }

    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = theirs
        .start_campaign(firmware, json!({ "max_concurrent_updates": 4 }))
        .await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 4 }))
        .await?;
    // Both servers offer the same updates, and each knows what was reported to the other.
    for at_one_host in [&fleet, &same] {
        let offered = wait_until("both servers offer the update", async || {
            let mut offered = 0;
            for device in at_one_host {
                offered += usize::from(device.poll().await?.deployment_base().is_some());
            }
            Ok((offered == 4).then_some(offered))
        });
        offered.await?;
    }
    tenant
        .wait_for_status_while(id, "completed", async || {
            for (here, there) in fleet.iter_mut().zip(&mut same) {
                // Each device changes the server with every request.
                here.install().await?;
                there.install().await?;
            }
            Ok(())
        })
        .await?;
    for campaign in [
        tenant.get_campaign(id).await?,
        theirs.get_campaign(id).await?,
    ] {
        ensure!(campaign["completed_devices"] == 6, "{campaign}");
    }
    let updates = tenant.updates(id).await?;
    ensure!(
        updates.len() == 6,
        "a device has more than one update: {updates:?}"
    );
    let mut seqs: Vec<i64> = tenant
        .journal(id)
        .await?
        .iter()
        .filter_map(|entry| entry["seq"].as_i64())
        .collect();
    let count = seqs.len();
    seqs.dedup();
    ensure!(
        seqs.len() == count,
        "a journal entry was written twice: {seqs:?}"
    );
    Ok(())
}

#[test]
fn streams_of_all_servers_end_with_their_key() -> Result<()> {
    run(
        Database::Postgres,
        "streams_of_all_servers_end_with_their_key",
        revoke_at_one_server,
    )
}

async fn revoke_at_one_server(tenant: IsolatedTenant) -> Result<()> {
    tenant.create_devices("edge", 1).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant.create_campaign(firmware, json!({})).await?;
    let theirs = tenant.at_server(Arc::new(tenant.server.start_replica().await?));
    let path = format!("campaigns/{id}/events");
    let mut revoked = Vec::new();
    for rest in [&tenant.viewer, &theirs.viewer] {
        revoked.push(Events::follow(rest, &path).await?);
    }
    let mut others = Events::follow(&theirs.admin, &path).await?;
    for stream in revoked.iter_mut().chain([&mut others]) {
        stream.next().await?.context("the campaign as it is")?;
    }

    let key = tenant.viewer.key().context("a key")?;
    let engine = &tenant.server.engine;
    let ctx = engine.trusted_ctx(tenant.record.id, Actor::command_line());
    let machine = MachineDelay::measure();
    tenants::revoke_key(&ctx, engine.store(), &tenants::key_id(&fingerprint(key))).await?;
    let ended = Instant::now();
    for mut stream in revoked {
        ensure!(stream.next().await?.is_none(), "the stream goes on");
        let elapsed = ended.elapsed();
        // A timer, the query and the end of the body are late each.
        let allowed = Duration::from_secs(1) + 3 * machine.max();
        ensure!(elapsed < allowed, "{elapsed:?}, allowed {allowed:?}");
    }
    // The stream of another key goes on.
    tenant.send_command(id, "start").await?;
    others.next().await?.context("the stream has ended")?;
    Ok(())
}

#[test]
fn a_download_from_two_servers_stays_complete() -> Result<()> {
    run(
        Database::Postgres,
        "a_download_from_two_servers_stays_complete",
        download_from_two_servers,
    )
}

async fn download_from_two_servers(tenant: IsolatedTenant) -> Result<()> {
    let other = Arc::new(tenant.server.start_replica().await?);
    let theirs = tenant.at_server(Arc::clone(&other));
    let mut devices = tenant.create_devices("edge", 1).await?;
    let firmware = upload(&tenant).await?;
    let download = Download::begin(&tenant, devices.remove(0), firmware).await?;
    let (here, there) = (&download.device, theirs.device(&download.device.id));
    download.wait_for_status(&tenant, "downloading").await?;
    // Each server learns that it downloads, so only the end is news.
    for device in [here, &there] {
        wait_until("the server knows the update", async || {
            Ok(device.poll().await?.deployment_base().map(drop))
        })
        .await?;
    }
    download.fetch(here, "bytes=0-59").await?;
    download.fetch(&there, "bytes=60-").await?;
    download.wait_for_status(&tenant, "installing").await?;

    // The first server has seen 60 % only.
    download.report(here, Execution::Proceeding).await?;
    ensure!(download.status(&tenant).await? == "installing");
    download.report(&there, Execution::Proceeding).await?;
    ensure!(download.status(&tenant).await? == "installing");

    // A device that fetches again downloads, whichever server it asks.
    for device in [here, &there] {
        wait_until("it downloads again", async || {
            download.fetch(device, "bytes=0-9").await?;
            Ok((download.status(&tenant).await? == "downloading").then_some(()))
        })
        .await?;
        download.report(device, Execution::Proceeding).await?;
        ensure!(download.status(&tenant).await? == "downloading");
        download.fetch(device, "bytes=10-").await?;
        download.wait_for_status(&tenant, "installing").await?;
    }
    Ok(())
}
