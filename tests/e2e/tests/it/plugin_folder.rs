//! The folder of plugins of a running server.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};
use tidegate_e2e::{
    RestClient, RestResponse as _, ServerProcess, ServerStorage, both_databases, wait_until,
};
use tidegate_hostile::HostilePlugin;

use crate::start_and_shutdown::authenticated;

both_databases!(a_plugin_is_installed_while_the_server_runs);

async fn a_plugin_is_installed_while_the_server_runs(storage: ServerStorage) -> Result<()> {
    let folder = storage.dir().join("plugins");
    let settings = [
        ("TIDEGATE_DEV", "true".into()),
        ("TIDEGATE_PLUGINS", folder.clone().into_os_string()),
    ];
    // A folder that does not exist yet does not stop the start.
    let process = ServerProcess::start_with(&storage, &settings)?;
    let anonymous = RestClient::anonymous(reqwest::Client::new(), &process.url);
    let rest = authenticated(&anonymous).await?;
    fs::create_dir(&folder)?;
    let file = folder.join("vendor.wasm");
    let component = HostilePlugin::Honest.component()?;
    fs::write(&file, &component)?;
    let plugin = wait_until("the plugin is installed", async || {
        let shown = rest.get("plugins/acme/hostile").await?;
        Ok((shown.status == 200).then(|| shown.json()).transpose()?)
    })
    .await?;
    let revision = &plugin["revisions"][0];
    ensure!(revision["state"] == "enabled" && revision["origin"] == "folder");
    ensure!(plugin["default_revision"] == revision["revision"]);

    // Other bytes of the same version are reported, and change nothing.
    // A custom section at the end makes it another component.
    fs::write(&file, [&component[..], b"\x00\x06\x05other"].concat())?;
    wait_until("the other bytes are refused", async || {
        let metrics = anonymous.get("/metrics").await?;
        let refused = "tidegate_plugin_files{state=\"refused\"} 1";
        Ok(metrics.text().contains(refused).then_some(()))
    })
    .await?;
    let shown = rest.get("plugins/acme/hostile").await?.expect_success()?;
    ensure!(shown["revisions"].as_array().map(Vec::len) == Some(1));
    let status = process.terminate()?;
    ensure!(status.success(), "the server ended with {status}");

    // They do not stop the next start either, which puts a lost component back.
    let stored = stored_file(storage.dir(), &component);
    fs::remove_file(&stored)?;
    fs::write(folder.join("sound.wasm"), &component)?;
    let process = ServerProcess::start_with(&storage, &settings)?;
    wait_until("the component is put back", async || {
        Ok(stored.exists().then_some(()))
    })
    .await?;
    let status = process.terminate()?;
    ensure!(status.success(), "the server ended with {status}");
    let restored = fs::read(&stored).context("read the stored component")?;
    ensure!(restored == component);
    Ok(())
}

/// Where the server stores these bytes.
fn stored_file(data_dir: &Path, bytes: &[u8]) -> std::path::PathBuf {
    let digits = hex::encode(Sha256::digest(bytes));
    let folder = data_dir.join("artifacts/sha256").join(&digits[..2]);
    folder.join(digits)
}
