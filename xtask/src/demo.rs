//! `cargo xtask demo`: a server and a fleet on this machine, up to a rollback.

use std::convert::Infallible;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{components, shell};

/// The build profile of the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Profile {
    /// Quick to build
    Dev,
    /// Quick to run
    Release,
    /// As it is shipped, slow to build
    Dist,
}

impl Profile {
    /// Cargo's directory of the profile.
    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release | Self::Dist => self.name(),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
            Self::Dist => "dist",
        }
    }
}

/// Marks a directory as created by the demo, which may therefore delete its contents.
const MARKER: &str = ".tidegate-demo";

/// Builds what the demo needs, and runs it. With `exit` it ends with the campaigns.
///
/// The demo replaces this process, so that its signals and its exit code apply: with `exit`, 0 only
/// if all results are as expected.
pub(crate) fn run(workspace: &Workspace, profile: Profile, exit: bool) -> Result<Infallible> {
    components::build(workspace)?;
    build(workspace, profile, &["tidegate", "tidegate-demo"])?;
    let mut command = command(workspace, profile, exit)?;
    let error = command.exec();
    Err(error).with_context(|| format!("start `{}`", shell::line(&command)))
}

/// Runs the demo with the existing build until it ends. Fails if a result is not as expected.
pub(crate) fn run_to_end(workspace: &Workspace, profile: Profile) -> Result<()> {
    shell::run(&mut command(workspace, profile, true)?)
}

/// A command that runs the demo on an empty data directory.
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

/// Builds programs of the workspace. Cargo chooses the features of dependencies for the packages it is given, and compiles
/// a dependency again for other features: with the whole workspace, demo and benchmarks share everything.
pub(crate) fn build(workspace: &Workspace, profile: Profile, programs: &[&str]) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--workspace", "--profile", profile.name()]);
    for program in programs {
        cargo.args(["--bin", program]);
    }
    shell::run(&mut cargo)
}

/// The path of a program that cargo built.
pub(crate) fn program(workspace: &Workspace, profile: Profile, name: &str) -> PathBuf {
    workspace.target.join(profile.folder()).join(name)
}

/// Creates an empty, marked directory. Directories that the demo did not create are never removed.
fn empty(folder: &Path) -> Result<()> {
    let mark = folder.join(MARKER);
    if folder.exists() {
        let is_empty = fs::read_dir(folder)?.next().is_none();
        if !mark.exists() && !is_empty {
            bail!(
                "{} was not created by the demo: move it away, then try again",
                folder.display()
            );
        }
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    fs::write(mark, "").with_context(|| format!("mark {}", folder.display()))
}
