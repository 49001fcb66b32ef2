//! A server process in development mode, and the command line with an administrator's API key.

use std::ffi::OsString;

use anyhow::{Context as _, Result, ensure};
use reqwest::Client;
use serde_json::Value;
use tidegate_e2e::{Device, FirmwareForm, RestClient, ServerProcess, ServerStorage, output_of};

/// The device of [`DevServer::device`].
pub(crate) const ID: &str = "pump-0";

/// A server process in development mode, and an administrator's API key.
pub(crate) struct DevServer<'a> {
    storage: &'a ServerStorage,
    key: String,
    pub(crate) program: ServerProcess,
}

impl<'a> DevServer<'a> {
    pub(crate) fn new(storage: &'a ServerStorage) -> Result<Self> {
        Self::with(storage, &[])
    }

    /// With these environment variables.
    pub(crate) fn with(storage: &'a ServerStorage, settings: &[(&str, OsString)]) -> Result<Self> {
        let dev = [("TIDEGATE_DEV", "true".into())];
        let settings = [&dev, settings].concat();
        let program = ServerProcess::start_with(storage, &settings)?;
        let key = ["key", "create", "--user", "ada", "--role", "admin"];
        let key = output_of(storage.command()?.args(key))?;
        Ok(Self {
            storage,
            key: key.trim().to_owned(),
            program,
        })
    }

    pub(crate) fn device(&self) -> Device {
        Device::new(Client::new(), &self.program.url, "DEFAULT", ID)
    }

    /// The commands of another user of this role.
    pub(crate) fn as_user(&self, user: &str, role: &str) -> Result<OtherUser<'_>> {
        let key = ["key", "create", "--user", user, "--role", role];
        let key = output_of(self.storage.command()?.args(key))?;
        let key = key.trim().to_owned();
        Ok(OtherUser { server: self, key })
    }

    /// Uploads a firmware and creates an update for the device.
    pub(crate) async fn offer(&self, version: &str) -> Result<Value> {
        let firmware = FirmwareForm::new(version).upload(&self.rest()).await?;
        let firmware = firmware.to_string();
        self.run(&["device", "update", ID, "--firmware", &firmware])
    }

    pub(crate) fn rest(&self) -> RestClient {
        RestClient::anonymous(Client::new(), &self.program.url).with_key(&self.key)
    }

    /// The output of a command for people.
    pub(crate) fn text(&self, arguments: &[&str]) -> Result<String> {
        output_of(self.plain_command()?.args(arguments))
    }

    /// The JSON output of a command.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Value> {
        let text = output_of(&mut self.command(arguments)?)?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}"))
    }

    /// Fails unless the server rejects the command with this problem code.
    pub(crate) fn expect_rejection(&self, arguments: &[&str], code: &str) -> Result<()> {
        let output = self.command(arguments)?.output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(1) && stderr.contains(code),
            "{arguments:?}: {stderr}"
        );
        Ok(())
    }

    /// A command with JSON output.
    pub(crate) fn command(&self, arguments: &[&str]) -> Result<std::process::Command> {
        let mut command = self.plain_command()?;
        command.args(arguments).arg("--json");
        Ok(command)
    }

    pub(crate) fn plain_command(&self) -> Result<std::process::Command> {
        let mut command = self.storage.command()?;
        command
            .env("TIDEGATE_URL", &self.program.url)
            .env("TIDEGATE_KEY", &self.key);
        Ok(command)
    }
}

/// Another user of a server.
pub(crate) struct OtherUser<'a> {
    server: &'a DevServer<'a>,
    key: String,
}

impl OtherUser<'_> {
    pub(crate) fn text(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.server.plain_command()?;
        output_of(command.args(arguments).env("TIDEGATE_KEY", &self.key))
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = self.server.command(arguments)?;
        let text = output_of(command.env("TIDEGATE_KEY", &self.key))?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}"))
    }
}
