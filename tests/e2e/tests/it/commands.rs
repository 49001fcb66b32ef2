//! What the commands of the program ask of a server, where it is more than one request of the same name.

use anyhow::{Context as _, Result, ensure};
use reqwest::Client;
use serde_json::Value;
use tidegate_e2e::{Device, FirmwareForm, Ground, Program, Rest, both_databases, printed};

both_databases!(
    an_update_is_ended_by_force_once_it_is_called_back,
    a_pinned_device_goes_back_by_force,
);

async fn an_update_is_ended_by_force_once_it_is_called_back(ground: Ground) -> Result<()> {
    let site = Site::new(&ground)?;
    let device = site.device();
    device.introduce().await?;
    let made = site.offer("1.1.0").await?;
    device.offer().await?.context("an offer")?;
    let id = made["update_id"].to_string();

    site.refuses(
        &["update", "cancel", &id, "--force"],
        "update_not_cancelling",
    )?;
    let called_back = site.run(&["update", "cancel", &id, "--reason", "the wrong one"])?;
    ensure!(called_back["status"] == "cancelling", "{called_back}");
    // Without force it waits for the device.
    let asked_again = site.run(&["update", "cancel", &id])?;
    ensure!(asked_again["status"] == "cancelling", "{asked_again}");
    let ended = site.run(&["update", "cancel", &id, "--force"])?;
    ensure!(ended["status"] == "cancelled", "{ended}");
    ensure!(
        device.poll().await?.cancel().is_none(),
        "there is nothing left to answer"
    );
    Ok(())
}

async fn a_pinned_device_goes_back_by_force(ground: Ground) -> Result<()> {
    let site = Site::new(&ground)?;
    let mut device = site.device();
    device.introduce().await?;
    for version in ["1.1.0", "1.2.0"] {
        site.offer(version).await?;
        ensure!(device.install().await?, "it had nothing to install");
    }
    site.run(&["device", "set", ID, "--pin"])?;

    let back = ["device", "rollback", ID, "--reason", "it hums"];
    site.refuses(&back, "pinned")?;
    let made = site.run(&[&back[..], &["--force"]].concat())?;
    ensure!(
        made["to_version"] == "1.1.0" && made["status"] == "offered",
        "{made}"
    );
    ensure!(device.install().await?, "it had nothing to go back to");
    ensure!(device.version == "1.1.0", "{}", device.version);
    // What is there comes again only by force.
    let same = ["device", "rollback", ID, "--to", "1.1.0"];
    site.run(&["device", "set", ID, "--unpin"])?;
    site.refuses(&same, "already_installed")?;
    let again = site.run(&[&same[..], &["--force"]].concat())?;
    ensure!(again["to_version"] == "1.1.0", "{again}");
    Ok(())
}

const ID: &str = "pump-0";

/// The program in development mode, and an administrator.
struct Site<'a> {
    ground: &'a Ground,
    key: String,
    program: Program,
}

impl<'a> Site<'a> {
    fn new(ground: &'a Ground) -> Result<Self> {
        let program = Program::start(ground)?;
        let key = ["key", "create", "--user", "ada", "--role", "admin"];
        let key = printed(ground.command()?.args(key))?;
        Ok(Self {
            ground,
            key: key.trim().to_owned(),
            program,
        })
    }

    fn device(&self) -> Device {
        Device::new(Client::new(), &self.program.url, "DEFAULT", ID)
    }

    /// Uploads a firmware and offers it to the device.
    async fn offer(&self, version: &str) -> Result<Value> {
        let rest = Rest::anonymous(Client::new(), &self.program.url).with_key(&self.key);
        let firmware = FirmwareForm::new(version).upload(&rest).await?.to_string();
        self.run(&["device", "update", ID, "--firmware", &firmware])
    }

    /// What a command answers.
    fn run(&self, arguments: &[&str]) -> Result<Value> {
        let text = printed(&mut self.command(arguments)?)?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}"))
    }

    /// A command that the server refuses, with this code.
    fn refuses(&self, arguments: &[&str], code: &str) -> Result<()> {
        let output = self.command(arguments)?.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(1) && said.contains(code),
            "{arguments:?}: {said}"
        );
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Result<std::process::Command> {
        let mut command = self.ground.command()?;
        command
            .args(arguments)
            .arg("--json")
            .env("TIDEGATE_URL", &self.program.url)
            .env("TIDEGATE_KEY", &self.key);
        Ok(command)
    }
}
