//! A server that is killed while it holds the lease of a campaign: another one on the same PostgreSQL database takes over.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use tidegate_e2e::{
    Database, FirmwareForm, ServerProcess, ServerStorage, TestTenant, run, wait_until,
};

use crate::crash::DevServer;

const DEVICES: usize = 4;
/// The lease takes ten seconds, and the other server searches for expired ones every second. The rest is for a busy
/// machine.
const MAX_FAILOVER: Duration = Duration::from_secs(15);

#[test]
fn another_server_takes_over_soon_after_a_kill() -> Result<()> {
    run(
        Database::Postgres,
        "failover::another_server_takes_over_soon_after_a_kill",
        kill_the_leader,
    )
}

async fn kill_the_leader(storage: ServerStorage) -> Result<()> {
    let first = ServerProcess::start(&storage)?;
    let server = DevServer::new(&first.url).await?;
    for n in 0..DEVICES {
        server.device(&format!("edge-{n}")).identify().await?;
    }
    let firmware = FirmwareForm::new("2.0.0").upload(&server.rest).await?;
    let created = server
        .rest
        .post("campaigns", &TestTenant::campaign_body(firmware))
        .await?
        .expect_status(201)?
        .json()?;
    let path = format!("campaigns/{}", created["campaign_id"]);

    // A tick cannot create updates now: it holds the lease until its statement times out, and tries again.
    let mut blocker = PgConnection::connect(&storage.database_url()).await?;
    blocker
        .execute("BEGIN; LOCK TABLE updates IN SHARE ROW EXCLUSIVE MODE")
        .await?;
    let start = format!("{path}/start");
    let started = server.rest.post(&start, &json!({})).await?;
    started.expect_status(200)?;
    let mut observer = PgConnection::connect(&storage.database_url()).await?;
    let first_name = wait_until("a server holds the lease", async || {
        leader(&mut observer).await
    })
    .await?;

    let replica = storage.replica()?;
    let second = ServerProcess::start(&replica)?;
    let second_server = server.at_url(&second.url);
    let (killed, survivor, surviving) = loop {
        let name = wait_until("a server holds the lease", async || {
            leader(&mut observer).await
        })
        .await?;
        let leading = if name == first_name { &first } else { &second };
        // A server that stands still releases nothing.
        leading.suspend()?;
        if leader(&mut observer).await?.as_ref() == Some(&name) {
            break if name == first_name {
                (first, second_server, second)
            } else {
                (second, server, first)
            };
        }
        leading.resume()?;
    };
    let killed_at = Instant::now();
    killed.kill()?;
    ensure!(
        leader(&mut observer).await?.is_some(),
        "the lease outlives its holder"
    );
    blocker.execute("ROLLBACK").await?;
    let campaign = wait_until("the other server offers the updates", async || {
        let campaign = survivor.rest.get(&path).await?.expect_status(200)?.json()?;
        Ok((campaign["in_progress_devices"] == DEVICES).then_some(campaign))
    })
    .await?;
    let took = killed_at.elapsed();
    ensure!(
        took < MAX_FAILOVER,
        "the failover took {took:?}: {campaign}"
    );
    drop(surviving);
    Ok(())
}

/// The name of the server that holds the lease of the only campaign.
async fn leader(observer: &mut PgConnection) -> Result<Option<String>> {
    let row = observer
        .fetch_one("SELECT lease_owner FROM campaign_runs")
        .await
        .context("read the lease")?;
    Ok(row.try_get("lease_owner")?)
}
