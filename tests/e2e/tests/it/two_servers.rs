//! Two servers on one PostgreSQL database: each serves every device, and a campaign is processed by one of them at
//! a time.

use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::json;
use tidegate_e2e::{Database, Device, IsolatedTenant, run, wait_until};

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
