//! `/metrics` on an address of its own, and what a shutdown writes of the use of keys.

mod test_config;

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use tidegate::{
    app::{App, Environment},
    config::Config,
};
use tidegate_engine::{
    Actor, fingerprint,
    tenants::{self, DEFAULT_TENANT},
};
use tidegate_store::{Options, SqlStore, test_database};

use test_config::test_config;

async fn on_both_databases(test: impl AsyncFn(Config) -> Result<()>) -> Result<()> {
    let postgres = test_database::create().await;
    let postgres = postgres.map_err(anyhow::Error::from_boxed)?;
    for url in [Some(None), postgres.map(Some)].into_iter().flatten() {
        let folder = tempfile::tempdir()?;
        test(test_config(folder.path(), url)?).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_served_on_their_own_address_only() -> Result<()> {
    const TOKEN: &str = "0123456789abcdef";

    on_both_databases(async |mut config| {
        config.metrics.listen = Some(([127, 0, 0, 1], 0).into());
        config.metrics.token = Some(TOKEN.to_owned());
        let app = App::start(config, Environment::default()).await?;
        let own = app.metrics_addr.context("an address of metrics")?;
        let client = reqwest::Client::new();
        let status = async |path: &str| {
            let response = client
                .get(format!("http://{path}"))
                .bearer_auth(TOKEN)
                .send();
            anyhow::Ok(response.await?.status().as_u16())
        };
        for (path, expected) in [
            (format!("{own}/metrics"), 200),
            (format!("{own}/health"), 404),
            (format!("{own}/api/v1/devices"), 404),
            (format!("{}/metrics", app.addr), 404),
            (format!("{}/health", app.addr), 200),
        ] {
            ensure!(status(&path).await? == expected, "{path}");
        }
        let without_token = reqwest::get(format!("http://{own}/metrics")).await?;
        ensure!(without_token.status() == 401, "{without_token:?}");
        app.shutdown().await?;
        ensure!(
            status(&format!("{own}/metrics")).await.is_err(),
            "it still listens"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_writes_when_keys_were_last_used() -> Result<()> {
    on_both_databases(async |config| {
        let options = match &config.database.url {
            Some(url) => Options::new(url.clone()),
            None => Options::sqlite(&config.database_file()),
        };
        let app = App::start(config, Environment::default()).await?;
        let key = app.first_key.clone().context("the first key")?;
        let engine = Arc::clone(&app.engine);
        let before = engine.now();
        let url = format!("http://{}/api/v1/devices", app.addr);
        let listed = reqwest::Client::new()
            .get(url)
            .header("x-api-key", &key)
            .send();
        ensure!(listed.await?.status() == 200, "the key is not valid");
        app.shutdown().await?;

        // As `tidegate key show` does.
        let store = SqlStore::open(options).await?;
        let tenant = tenants::by_name(&store, DEFAULT_TENANT)
            .await?
            .context("a tenant")?;
        let ctx = engine.trusted_ctx(tenant.id, Actor::command_line());
        let id = tenants::key_id(&fingerprint(&key));
        let shown = tenants::key(&ctx, &store, &id).await?;
        ensure!(shown.last_used >= Some(before), "{shown:?}");
        store.close().await;
        Ok(())
    })
    .await
}
