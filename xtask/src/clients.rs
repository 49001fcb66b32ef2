//! Tests with third-party device clients, which install an update from a server.

use std::env;

use anyhow::{Result, bail};

use crate::postgres::{self, Cluster};
use crate::workspace::Workspace;
use crate::{debian, shell};

/// The programs that the tests need, with their Debian packages: (program, package).
const PROGRAMS: [(&str, &str); 3] = [
    ("swupdate", "swupdate"),
    ("cpio", "cpio"),
    ("openssl", "openssl"),
];

/// Runs the tests if they were requested, or if this is continuous integration and they can run
/// here. Prints a message if they are skipped.
pub(crate) fn run(workspace: &Workspace, asked: bool) -> Result<()> {
    if !asked && env::var_os("CI").is_none_or(|ci| ci != "true") {
        println!("=== SKIPPED: third-party clients such as swupdate; request them with --clients");
        return Ok(());
    }
    if let Err(error) = prepare() {
        if asked {
            return Err(error);
        }
        println!("=== SKIPPED: third-party clients such as swupdate cannot run here: {error:#}");
        return Ok(());
    }
    let mut command = workspace.cargo();
    command
        .args(["test", "--package", "tidegate-e2e", "--test", "it"])
        .args(["swupdate", "--", "--nocapture"])
        .env("TIDEGATE_TEST_CLIENTS", "1");
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
        "a third-party device client, and the tools for its images",
    )
}
