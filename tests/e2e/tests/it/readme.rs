//! The first campaign of the README, as it is written there.
//!
//! It needs `curl`. `cargo xtask test --clients` provides it.

use std::{env, io::Write as _, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use tidegate_e2e::{
    Database, Fixture as _, ServerProcess, ServerStorage, run_standalone, wait_until,
};
use tokio::process::Command;

const README: &str = include_str!("../../../../README.md");

/// The line before the commands that need a first decision of the campaign.
const PAUSE: &str = "# A moment later the device is offered the update, and reports success.\n";

/// A device that the firmware of the commands is not for.
const ANOTHER_BOARD: &str = "curl -s http://127.0.0.1:8080/DEFAULT/controller/v1/lamp-1\n\
    curl -s -X PUT http://127.0.0.1:8080/DEFAULT/controller/v1/lamp-1/configData \
    --json '{\"data\": {\"hw_model\": \"lamp\"}}'\n";

#[test]
fn its_commands_update_a_device_and_no_other_board() -> Result<()> {
    if env::var_os("TIDEGATE_TEST_CLIENTS").is_none() {
        // Not `eprintln!`: its output is captured.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: the commands of the README (run `cargo xtask test --clients`)"
        );
        return Ok(());
    }
    run_standalone(updates_a_device)
}

async fn updates_a_device() -> Result<()> {
    let [build_and_serve, requests, client] = &blocks("## A first campaign")?[..] else {
        anyhow::bail!("not three blocks of commands");
    };
    ensure!(
        build_and_serve.contains("cargo xtask components ")
            && build_and_serve.contains(" serve --dev --data-dir target/first\n"),
        "{build_and_serve}"
    );
    let (before, after) = requests.split_once(PAUSE).context(PAUSE)?;
    let client = client.trim_end();
    let (setting, shown) = client
        .split_once('\n')
        .context("one command of the client")?;
    let storage = ServerStorage::set_up(Database::Sqlite).await?;
    let program = storage.command()?.get_program().to_owned();
    let server = ServerProcess::start(&storage)?;
    let script = [
        ANOTHER_BOARD,
        before,
        "until curl -s http://127.0.0.1:8080/DEFAULT/controller/v1/robot-1 | grep deploymentBase; do sleep 0.1; done\n",
        "if curl -s http://127.0.0.1:8080/DEFAULT/controller/v1/lamp-1 | grep deploymentBase; then exit 1; fi\n",
        after,
        setting,
        "\nuntil target/release/tidegate campaign show 1 | grep -i completed; do sleep 0.1; done\n",
        shown,
    ]
    .concat()
    .replace("curl -s ", "curl -sS --fail-with-body ")
    .replace("http://127.0.0.1:8080", &server.url)
    .replace("target/release/tidegate", &program.to_string_lossy());
    let mut shell = Command::new("bash");
    shell
        .args(["-euo", "pipefail", "-c", &script])
        .env("TIDEGATE_URL", &server.url)
        .current_dir(storage.dir())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let commands = tokio::spawn(async move { shell.output().await });
    wait_until("the commands are done", async || {
        Ok(commands.is_finished().then_some(()))
    })
    .await?;
    let output = commands.await?.context("run the commands")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{text}\n{errors}");
    for part in [
        r#""version":"1.1.0""#,
        r#""completed_devices":1"#,
        r#""excluded_devices":1"#,
        "immediate",
        "robot-1",
    ] {
        ensure!(text.contains(part), "{part} is not in {text}\n{errors}");
    }
    Ok(())
}

/// The blocks of commands below a heading of the README.
fn blocks(heading: &str) -> Result<Vec<&'static str>> {
    let (_, section) = README.split_once(heading).context("no such heading")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1);
    Ok(blocks
        .filter_map(|block| block.split("```").next())
        .collect())
}
