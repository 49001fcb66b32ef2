//! `cargo xtask bench`: the benchmarks, with the programs to compare with.

mod compare;
mod options;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tidegate_slow_disk::SyncDelay;

use crate::demo::{self, Profile};
use crate::postgres::{Cluster, Durability};
use crate::workspace::Workspace;
use crate::{components, debian, shell};

use options::take_option;

pub(crate) use compare::Comparison;

/// What is shipped is measured.
const PROFILE: Profile = Profile::Dist;

/// The build of a revision.
struct Programs {
    bench: PathBuf,
    server: PathBuf,
    components: PathBuf,
}

impl Programs {
    /// The paths of a build of this checkout.
    fn of(workspace: &Workspace) -> Self {
        Self {
            bench: demo::program(workspace, PROFILE, "tidegate-bench"),
            server: demo::program(workspace, PROFILE, "tidegate"),
            components: workspace.target.join("components"),
        }
    }
}

/// Builds server and benchmark and runs them with a PostgreSQL with durable commits,
/// and with nginx if available. `arguments` are passed on to the benchmark, `--fsync-delay-ms` through the environment,
/// which other revisions know without the option.
pub(crate) fn run(
    workspace: &Workspace,
    comparison: Option<&Comparison>,
    arguments: &[OsString],
) -> Result<()> {
    let (delays, arguments) = take_option("--fsync-delay-ms", arguments)?;
    let delay = delays.last().map(|delay| delay.parse::<SyncDelay>());
    let delay = delay.transpose().map_err(anyhow::Error::msg);
    let durability = Durability::on_disk(delay.context("--fsync-delay-ms")?);
    components::build(workspace)?;
    demo::build(workspace, PROFILE, &["tidegate", "tidegate-bench"])?;
    let programs = Programs::of(workspace);
    if let Some(comparison) = comparison {
        return compare::run(workspace, &programs, comparison, durability, &arguments);
    }
    let cluster = Cluster::start(durability)?;
    let mut command = Command::new(&programs.bench);
    command
        .current_dir(&workspace.root)
        .arg("--server-bin")
        .arg(&programs.server)
        .arg("--components")
        .arg(&programs.components)
        .args(["--postgres", cluster.url()]);
    add_tools(workspace, &mut command);
    cluster.share_slow_disk(&mut command);
    shell::run(command.args(arguments))
}

/// Adds the path of nginx, if available, to the benchmark's arguments.
fn add_tools(workspace: &Workspace, command: &mut Command) {
    match nginx(workspace) {
        Ok(path) => {
            command.arg("--nginx").arg(path);
        }
        Err(error) => println!("without nginx to compare downloads with: {error:#}"),
    }
}

/// The installed nginx, else Debian's, unpacked but not installed, because that would start it.
fn nginx(workspace: &Workspace) -> Result<PathBuf> {
    let installed = PathBuf::from("/usr/sbin/nginx");
    if installed.exists() {
        return Ok(installed);
    }
    let folder = workspace.target.join("tools/nginx");
    let unpacked = folder.join("usr/sbin/nginx");
    if !unpacked.exists() {
        debian::unpack("nginx", &folder, "downloads are compared with it")?;
    }
    runs(&unpacked)?;
    Ok(unpacked)
}

fn runs(program: &Path) -> Result<()> {
    shell::output(Command::new(program).arg("-v"))
        .map(drop)
        .context("install your system's nginx to compare downloads with it")
}
