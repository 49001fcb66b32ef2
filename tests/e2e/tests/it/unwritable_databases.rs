//! A database that can be read and takes no write: an SQLite file on a disk that fails, a PostgreSQL server that became a
//! standby.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tidegate_e2e::{
    ConfigData, DdiError, Device, RestClient, ServerProcess, ServerStorage, both_databases,
    wait_until,
};

both_databases!(a_database_that_takes_no_write_is_reported_until_it_does);

/// More writes than the server has connections, which may find out one by one.
const WRITES: u32 = 40;

async fn a_database_that_takes_no_write_is_reported_until_it_does(
    storage: ServerStorage,
) -> Result<()> {
    let process = ServerProcess::start_limitable(&storage)?;
    let http = reqwest::Client::new();
    let rest = RestClient::anonymous(http.clone(), &process.url);
    let request = json!({ "tenant": "default", "user_id": "jo", "role": "admin" });
    let token = rest.post("auth/dev-token", &request).await?;
    let token = token.expect_status(200)?.json()?;
    let rest = rest.with_token(token["token"].as_str().context("a token")?);
    let device = Device::new(http, &process.url, "default", "edge");
    device.poll().await?;
    let create = async |id: String| rest.post("devices", &json!({ "device_id": id })).await;
    for round in 0..2 {
        wait_until("the server is ready", async || {
            Ok((rest.readiness().await?.status == 200).then_some(()))
        })
        .await?;
        set_writable(&storage, &process, false).await?;
        for number in 0..WRITES {
            let refused = create(format!("refused-{round}-{number}")).await?;
            let refused = refused.expect_status(503)?.json()?;
            ensure!(refused["code"] == "unavailable", "{refused}");
        }
        let site = format!("refused-{round}");
        match report(&device, &site).await {
            Err(DdiError::Status { response, .. }) if response.status == 429 => {}
            other => anyhow::bail!("the report is not refused with 429: {other:?}"),
        }
        device.poll().await.context("nothing has to be written")?;
        let unready = rest.readiness().await?.expect_status(503)?.json()?;
        let reason = "the database cannot be written: it is not available";
        ensure!(unready["detail"] == reason, "{unready}");

        set_writable(&storage, &process, true).await?;
        wait_until("the server is ready", async || {
            Ok((rest.readiness().await?.status == 200).then_some(()))
        })
        .await?;
        // Connections that were cut while they were idle are found one by one.
        let id = format!("taken-{round}");
        wait_until("writes are taken", async || {
            let created = create(id.clone()).await?.status.as_u16();
            // It exists if the report was refused before.
            let is_created = matches!(created, 201 | 409);
            Ok((is_created && report(&device, &id).await.is_ok()).then_some(()))
        })
        .await?;
    }
    Ok(())
}

async fn report(device: &Device, site: &str) -> Result<(), DdiError> {
    let site = ConfigData::merge([("site", site)]);
    device.report_config(&site).await
}

async fn set_writable(
    storage: &ServerStorage,
    process: &ServerProcess,
    is_writable: bool,
) -> Result<()> {
    let url = storage.database_url();
    if url.starts_with("sqlite:") {
        // The log of changes is larger, and its writes fail with an error of input and output.
        return process.limit_files((!is_writable).then_some(4096));
    }
    let (server, name) = url.rsplit_once('/').context("the name of the database")?;
    let mut connection = PgConnection::connect(&format!("{server}/postgres")).await?;
    let is_read_only = if is_writable { "off" } else { "on" };
    let set = format!("ALTER DATABASE {name} SET default_transaction_read_only = {is_read_only}");
    connection.execute(AssertSqlSafe(set)).await?;
    // Sessions keep their setting.
    let end =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    connection.execute(AssertSqlSafe(end)).await?;
    Ok(())
}
