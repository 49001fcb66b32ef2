//! The order of a shutdown.

mod test_config;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tidegate::{
    app::{App, Environment},
    config::Config,
};
use tidegate_engine::tenants::DEFAULT_TENANT;
use tidegate_store::test_database;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use test_config::test_config;

/// A request that hangs uses up the time of the shutdown.
#[tokio::test(flavor = "multi_thread")]
async fn last_seen_times_are_written_before_requests_are_awaited() -> Result<()> {
    let postgres = test_database::create().await;
    let postgres = postgres.map_err(anyhow::Error::from_boxed)?;
    for url in [Some(None), postgres.map(Some)].into_iter().flatten() {
        check_order(url).await?;
    }
    Ok(())
}

async fn check_order(database_url: Option<String>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = Config {
        // Devices need no credentials.
        dev: true,
        ..test_config(folder.path(), database_url)?
    };
    let app = App::start(config, Environment::default()).await?;
    let (addr, engine) = (app.addr, Arc::clone(&app.engine));
    let device = format!("http://{addr}/default/controller/v1/edge-1");
    let poll = async || anyhow::Ok(reqwest::get(&device).await?.error_for_status()?);
    poll().await?;

    let key = app
        .first_key
        .as_deref()
        .context("the first start makes a key")?;
    let head = format!(
        "POST /api/v1/devices HTTP/1.1\r\nhost: {addr}\r\nx-api-key: {key}\r\nexpect: 100-continue\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n"
    );
    let mut hanging = TcpStream::connect(addr).await?;
    hanging.write_all(head.as_bytes()).await?;
    let mut go_on = [0; 25];
    hanging.read_exact(&mut go_on).await?;
    ensure!(&go_on == b"HTTP/1.1 100 Continue\r\n\r\n");

    let last_poll = engine.now();
    poll().await?;
    let shutdown = tokio::spawn(app.shutdown());
    let tenant = engine.store().tenant(DEFAULT_TENANT).await?;
    let tenant = tenant.context("the first start makes a tenant")?.id;
    loop {
        let device = engine.store().device(tenant, "edge-1").await?;
        let last_seen = device.context("the device")?.last_seen;
        ensure!(
            !shutdown.is_finished(),
            "{last_seen:?}, polled at {last_poll:?}"
        );
        if last_seen >= Some(last_poll) {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    hanging.write_all(b"{}").await?;
    shutdown.await?
}
