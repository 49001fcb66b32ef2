//! Tests with third-party clients: of devices, which install an update from a server, and of the
//! REST API, which public tools generate.

use std::env;

use anyhow::{Result, bail};

use crate::api_clients::ApiClients;
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
    let mut command = workspace.cargo();
    command.args(["test", "--package", "tidegate-e2e", "--test", "it"]);
    command.args(["--", "--nocapture"]);
    let devices = or_skip("device clients such as swupdate", asked, prepare())?;
    if devices.is_some() {
        command.arg("swupdate").env("TIDEGATE_TEST_CLIENTS", "1");
    }
    let api = ApiClients::prepare(workspace);
    let api = or_skip("generated clients of the REST API", asked, api)?;
    if let Some(api) = &api {
        api.generate()?;
        command
            .arg("api_clients")
            .env("TIDEGATE_TEST_API_CLIENTS", api.folder());
    }
    if devices.is_none() && api.is_none() {
        return Ok(());
    }
    let cluster = Cluster::start_unless_configured()?;
    if let Some(cluster) = &cluster {
        command.env(postgres::VARIABLE, cluster.url());
    }
    shell::run(&mut command)
}

/// What was prepared. If it cannot be, prints why, or fails if the tests were requested.
fn or_skip<T>(clients: &str, asked: bool, prepared: Result<T>) -> Result<Option<T>> {
    match prepared {
        Ok(prepared) => Ok(Some(prepared)),
        Err(error) if asked => Err(error),
        Err(error) => {
            println!("=== SKIPPED: {clients} cannot run here: {error:#}");
            Ok(None)
        }
    }
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
