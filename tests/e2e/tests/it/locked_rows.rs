//! Rows, tables and databases that another session has locked: devices wait for a short time, and the server says that
//! it is not ready.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};
use tidegate_e2e::{
    ConfigData, Database, DdiError, Device, IsolatedTenant, RestResponse as _, run, wait_until,
};

/// A few seconds, on a busy machine.
const MAX_WAIT: Duration = Duration::from_secs(8);

#[test]
fn devices_do_not_wait_for_locked_rows() -> Result<()> {
    run(
        Database::Postgres,
        "locked_rows::devices_do_not_wait_for_locked_rows",
        lock_rows,
    )
}

async fn lock_rows(tenant: IsolatedTenant) -> Result<()> {
    let devices = tenant.create_devices("edge", 2).await?;
    let (locked, free) = (&devices[0], &devices[1]);
    let mut blocker = PgConnection::connect(&tenant.server.database_url()).await?;
    let lock_row = format!(
        "SELECT id FROM devices WHERE device_id = '{}' FOR UPDATE",
        locked.id
    );

    // One row: its device is told to come later, and no other device is.
    blocker.execute("BEGIN").await?;
    blocker.execute(AssertSqlSafe(lock_row)).await?;
    let (refused, taken) = tokio::join!(report(locked, "a"), report(free, "a"));
    ensure!((refused?, taken?) == (429, 200));
    ensure!(locked.poll().await.is_ok(), "polls take no lock");

    // Only reports of the locked row wait, and none is written.
    let reason = wait_until("the server is not ready", async || {
        ensure!(report(locked, "b").await? == 429);
        let ready = tenant.viewer.readiness().await?;
        Ok((ready.status == 503).then(|| ready.text()))
    })
    .await?;
    ensure!(
        reason.contains("reports wait, and none was written"),
        "{reason}"
    );
    blocker.execute("ROLLBACK").await?;
    wait_until("the report is taken, and the server is ready", async || {
        let taken = report(locked, "c").await? == 200;
        let ready = tenant.viewer.readiness().await?;
        Ok((taken && ready.status == 200).then_some(()))
    })
    .await?;

    // A table: the database answers nothing that devices need.
    blocker
        .execute("BEGIN; LOCK TABLE devices IN ACCESS EXCLUSIVE MODE")
        .await?;
    let (first, second) = tokio::join!(report(locked, "d"), report(free, "d"));
    ensure!((first?, second?) == (429, 429));
    let started = Instant::now();
    let unknown = tenant.device("edge-9").poll().await;
    ensure!(status(unknown)? == 429 && started.elapsed() < MAX_WAIT);
    blocker.execute("ROLLBACK").await?;
    wait_until("both reports are taken", async || {
        let taken = (report(locked, "e").await?, report(free, "e").await?) == (200, 200);
        Ok(taken.then_some(()))
    })
    .await
}

#[test]
fn a_locked_row_stops_no_other_deadline() -> Result<()> {
    run(
        Database::Postgres,
        "locked_rows::a_locked_row_stops_no_other_deadline",
        lock_overdue_update,
    )
}

async fn lock_overdue_update(tenant: IsolatedTenant) -> Result<()> {
    let devices = tenant.create_devices("edge", 2).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let mut updates = Vec::new();
    for device in &devices {
        let body = json!({ "firmware_id": firmware, "timeout_minutes": 60 });
        let path = format!("devices/{}/update", device.id);
        let created = tenant.operator.post(&path, &body).await?;
        updates.push(created.expect_status(201)?.json()?["update_id"].clone());
        // The longest overdue update comes first.
        tenant.advance(Duration::from_secs(1));
    }
    let mut blocker = PgConnection::connect(&tenant.server.database_url()).await?;
    let lock_row = format!(
        "BEGIN; SELECT id FROM devices WHERE device_id = '{}' FOR UPDATE",
        devices[0].id
    );
    blocker.execute(AssertSqlSafe(lock_row)).await?;
    tenant.advance(Duration::from_hours(2));
    let wait_for_end = async |update: &Value| {
        let path = format!("updates/{update}");
        wait_until("the overdue update ends", async || {
            let update = tenant.viewer.get(&path).await?.expect_success()?;
            Ok((update["status"] == "timed_out").then_some(()))
        })
        .await
    };
    wait_for_end(&updates[1]).await?;
    let path = format!("updates/{}", updates[0]);
    let locked = tenant.viewer.get(&path).await?.expect_success()?;
    ensure!(locked["status"] == "offered", "{locked}");
    blocker.execute("ROLLBACK").await?;
    wait_for_end(&updates[0]).await
}

#[test]
fn devices_do_not_wait_for_a_locked_database() -> Result<()> {
    run(
        Database::Sqlite,
        "locked_rows::devices_do_not_wait_for_a_locked_database",
        lock_database,
    )
}

async fn lock_database(tenant: IsolatedTenant) -> Result<()> {
    let devices = tenant.create_devices("edge", 1).await?;
    let known = &devices[0];
    ensure!(known.poll().await.is_ok());
    let mut blocker = SqliteConnection::connect(&tenant.server.database_url()).await?;
    blocker.execute("BEGIN IMMEDIATE").await?;
    let started = Instant::now();
    let unknown = tenant.device("edge-9");
    let (reported, registered) = tokio::join!(report(known, "a"), unknown.poll());
    ensure!((reported?, status(registered)?) == (429, 429));
    ensure!(started.elapsed() < MAX_WAIT, "{:?}", started.elapsed());
    ensure!(
        known.poll().await.is_ok(),
        "an idle device is answered from memory"
    );
    wait_until("the server is not ready", async || {
        ensure!(report(known, "b").await? == 429);
        let ready = tenant.viewer.readiness().await?;
        Ok((ready.status == 503).then_some(()))
    })
    .await?;
    blocker.execute("ROLLBACK").await?;
    wait_until("reports are taken, and the server is ready", async || {
        let taken = report(known, "c").await? == 200 && unknown.poll().await.is_ok();
        let ready = tenant.viewer.readiness().await?;
        Ok((taken && ready.status == 200).then_some(()))
    })
    .await
}

/// The status that a device is answered when it reports this site. Fails if the answer takes long.
async fn report(device: &Device, site: &str) -> Result<u16> {
    let started = Instant::now();
    let answered = device
        .report_config(&ConfigData::merge([("site", site)]))
        .await;
    let (answered, waited) = (status(answered)?, started.elapsed());
    ensure!(
        waited < MAX_WAIT,
        "{} was answered {answered} after {waited:?}",
        device.id
    );
    Ok(answered)
}

fn status<T>(answered: Result<T, DdiError>) -> Result<u16> {
    match answered {
        Ok(_) => Ok(200),
        Err(DdiError::Status { response, .. }) => Ok(response.status.as_u16()),
        Err(error) => Err(error.into()),
    }
}
