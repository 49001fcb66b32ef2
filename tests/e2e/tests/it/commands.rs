//! Commands of the command line that are more than one REST request of the same name.

use anyhow::{Context as _, Result, ensure};
use reqwest::Client;
use serde_json::Value;
use tidegate_e2e::{
    Device, FirmwareForm, RestClient, ServerProcess, ServerStorage, both_databases, output_of,
};

both_databases!(
    force_cancel_requires_a_cancelling_update,
    force_rolls_back_a_pinned_device,
);

async fn force_cancel_requires_a_cancelling_update(storage: ServerStorage) -> Result<()> {
    let server = DevServer::new(&storage)?;
    let device = server.device();
    device.identify().await?;
    let created = server.offer("1.1.0").await?;
    device.offer().await?.context("no offer")?;
    let id = created["update_id"].to_string();

    server.expect_rejection(
        &["update", "cancel", &id, "--force"],
        "update_not_cancelling",
    )?;
    let cancelled = server.run(&["update", "cancel", &id, "--reason", "the wrong one"])?;
    ensure!(cancelled["status"] == "cancelling", "{cancelled}");
    // Without force it still waits for the device.
    let asked_again = server.run(&["update", "cancel", &id])?;
    ensure!(asked_again["status"] == "cancelling", "{asked_again}");
    let ended = server.run(&["update", "cancel", &id, "--force"])?;
    ensure!(ended["status"] == "cancelled", "{ended}");
    ensure!(
        device.poll().await?.cancel_action().is_none(),
        "the cancellation is still offered"
    );
    Ok(())
}

async fn force_rolls_back_a_pinned_device(storage: ServerStorage) -> Result<()> {
    let server = DevServer::new(&storage)?;
    let mut device = server.device();
    device.identify().await?;
    for version in ["1.1.0", "1.2.0"] {
        server.offer(version).await?;
        ensure!(
            device.install().await?,
            "the device has no update to install"
        );
    }
    server.run(&["device", "set", ID, "--pin"])?;

    let rollback = ["device", "rollback", ID, "--reason", "it hums"];
    server.expect_rejection(&rollback, "pinned")?;
    let created = server.run(&[&rollback[..], &["--force"]].concat())?;
    ensure!(
        created["to_version"] == "1.1.0" && created["status"] == "offered",
        "{created}"
    );
    ensure!(device.install().await?, "the device has no rollback update");
    ensure!(device.version == "1.1.0", "{}", device.version);
    // Firmware that is already installed is installed again only by force.
    let same = ["device", "rollback", ID, "--to", "1.1.0"];
    server.run(&["device", "set", ID, "--unpin"])?;
    server.expect_rejection(&same, "already_installed")?;
    let again = server.run(&[&same[..], &["--force"]].concat())?;
    ensure!(again["to_version"] == "1.1.0", "{again}");
    Ok(())
}

const ID: &str = "pump-0";

/// A server process in development mode, and an administrator's API key.
struct DevServer<'a> {
    storage: &'a ServerStorage,
    key: String,
    program: ServerProcess,
}

impl<'a> DevServer<'a> {
    fn new(storage: &'a ServerStorage) -> Result<Self> {
        let program = ServerProcess::start(storage)?;
        let key = ["key", "create", "--user", "ada", "--role", "admin"];
        let key = output_of(storage.command()?.args(key))?;
        Ok(Self {
            storage,
            key: key.trim().to_owned(),
            program,
        })
    }

    fn device(&self) -> Device {
        Device::new(Client::new(), &self.program.url, "DEFAULT", ID)
    }

    /// Uploads a firmware and creates an update for the device.
    async fn offer(&self, version: &str) -> Result<Value> {
        let rest = RestClient::anonymous(Client::new(), &self.program.url).with_key(&self.key);
        let firmware = FirmwareForm::new(version).upload(&rest).await?.to_string();
        self.run(&["device", "update", ID, "--firmware", &firmware])
    }

    /// The JSON output of a command.
    fn run(&self, arguments: &[&str]) -> Result<Value> {
        let text = output_of(&mut self.command(arguments)?)?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}"))
    }

    /// Fails unless the server rejects the command with this problem code.
    fn expect_rejection(&self, arguments: &[&str], code: &str) -> Result<()> {
        let output = self.command(arguments)?.output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(1) && stderr.contains(code),
            "{arguments:?}: {stderr}"
        );
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Result<std::process::Command> {
        let mut command = self.storage.command()?;
        command
            .args(arguments)
            .arg("--json")
            .env("TIDEGATE_URL", &self.program.url)
            .env("TIDEGATE_KEY", &self.key);
        Ok(command)
    }
}
