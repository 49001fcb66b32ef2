//! Tests with third-party clients: of devices, which install an update from a server, and of the
//! REST API, which public tools generate or, in the README, are called by hand.

use anyhow::{Result, bail};

use crate::api_clients::ApiClients;
use crate::postgres::{self, Cluster};
use crate::workspace::{self, Workspace};
use crate::{debian, shell};

/// The programs that the tests need, with their Debian packages: (program, package).
const PROGRAMS: [(&str, &str); 4] = [
    ("curl", "curl"),
    ("swupdate", "swupdate"),
    ("cpio", "cpio"),
    ("openssl", "openssl"),
];

/// Runs the tests if they were requested, or if this is continuous integration. What they need and
/// cannot be installed is an error; only device clients are skipped, with a message, where the user
/// of continuous integration is not root.
pub(crate) fn run(workspace: &Workspace, asked: bool) -> Result<()> {
    if !asked && !workspace::is_ci() {
        println!("=== SKIPPED: third-party clients such as swupdate; request them with --clients");
        return Ok(());
    }
    let mut command = workspace.cargo();
    command.args(["test", "--package", "tidegate-e2e", "--test", "it"]);
    command.args(["--", "--nocapture"]);
    if asked || debian::is_root() {
        prepare()?;
        command
            .args(["swupdate", "readme"])
            .env("TIDEGATE_TEST_CLIENTS", "1");
    } else {
        println!("=== SKIPPED: device clients such as swupdate, which need root");
    }
    let api = ApiClients::prepare(workspace)?;
    api.generate()?;
    command
        .arg("api_clients")
        .env("TIDEGATE_TEST_API_CLIENTS", api.folder());
    let cluster = Cluster::start_unless_configured()?;
    if let Some(cluster) = &cluster {
        command.env(postgres::VARIABLE, cluster.url());
    }
    shell::run(&mut command)
}

fn prepare() -> Result<()> {
    if !debian::is_root() {
        bail!("swupdate needs root");
    }
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| !debian::is_on_path(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !debian::may_install() {
        bail!("{} must be installed", missing.join(", "));
    }
    debian::install(
        &missing,
        "a third-party device client, the tools for its images, and what the README calls",
    )
}
