//! `cargo xtask demo`: the host and a fleet on this machine, from nothing to a rollback.

use std::convert::Infallible;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{components, shell};

/// How the host is built.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Profile {
    /// Quick to build
    Dev,
    /// Quick to run
    Release,
}

impl Profile {
    /// Cargo's folder for it.
    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }
}

/// The file that says a folder was made by the demo, and may be emptied by it.
const MARKER: &str = ".tidegate-demo";

/// Builds what the demo needs, and runs it. With `exit` it ends when the campaigns have.
///
/// The demo takes the place of this process, with its signals and its code: with `exit` 0 only if all went as it must.
pub(crate) fn run(workspace: &Workspace, profile: Profile, exit: bool) -> Result<Infallible> {
    components::build(workspace)?;
    build(workspace, profile, &["tidegate", "tidegate-demo"])?;
    let mut command = command(workspace, profile, exit)?;
    let error = command.exec();
    Err(error).with_context(|| format!("start `{}`", shell::line(&command)))
}

/// Runs the demo to its end with what is built; an error when something went as it must not.
pub(crate) fn run_to_end(workspace: &Workspace, profile: Profile) -> Result<()> {
    shell::run(&mut command(workspace, profile, true)?)
}

/// A call of the demo on an empty folder.
fn command(workspace: &Workspace, profile: Profile, exit: bool) -> Result<Command> {
    let data = workspace.target.join("demo");
    empty(&data)?;
    let mut command = Command::new(program(workspace, profile, "tidegate-demo"));
    command
        .current_dir(&workspace.root)
        .arg("--server-bin")
        .arg(program(workspace, profile, "tidegate"))
        .arg("--components")
        .arg(workspace.target.join("components"))
        .arg("--data-dir")
        .arg(&data);
    if exit {
        command.arg("--exit");
    }
    Ok(command)
}

/// Builds programs of the host and of its tests.
pub(crate) fn build(workspace: &Workspace, profile: Profile, programs: &[&str]) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--profile", profile.name()]);
    cargo.args(["--package", "tidegate", "--package", "tidegate-fleet"]);
    for program in programs {
        cargo.args(["--bin", program]);
    }
    shell::run(&mut cargo)
}

/// Where cargo puts a program.
pub(crate) fn program(workspace: &Workspace, profile: Profile, name: &str) -> PathBuf {
    workspace.target.join(profile.folder()).join(name)
}

/// Makes an empty folder that is marked as ours; what somebody else put there is never removed.
fn empty(folder: &Path) -> Result<()> {
    let mark = folder.join(MARKER);
    if folder.exists() {
        let is_empty = fs::read_dir(folder)?.next().is_none();
        if !mark.exists() && !is_empty {
            bail!(
                "{} was not made by the demo: move it away, then try again",
                folder.display()
            );
        }
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    fs::write(mark, "").with_context(|| format!("mark {}", folder.display()))
}
