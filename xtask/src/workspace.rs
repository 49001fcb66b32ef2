//! The checkout: its directories, the cargo that runs xtask, and cargo's metadata.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell;

/// A checkout of the repository, with the directories of its build.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    /// The directory with the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target directory for host programs.
    pub(crate) target: PathBuf,
    /// Cargo's home, with the sources of dependencies.
    pub(crate) cargo_home: PathBuf,
}

impl Workspace {
    /// The checkout from which this program was built.
    pub(crate) fn find() -> Result<Self> {
        // Cargo sets the variable at run time too, unless the program is started directly.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest
            .parent()
            .context("xtask is not inside a workspace")?
            .to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => root.join(dir),
            None => root.join("target"),
        };
        Ok(Self {
            root,
            target,
            cargo_home: cargo_home()?,
        })
    }

    /// The cargo that started this program, in the root directory.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(cargo_program());
        command
            .current_dir(&self.root)
            .env("CARGO_HOME", &self.cargo_home);
        if is_ci() {
            // Incremental builds are useless there, because nothing is built a second time.
            command.env("CARGO_INCREMENTAL", "0");
        }
        command
    }

    /// The output of `cargo metadata` for the workspace's own packages.
    pub(crate) fn metadata(&self) -> Result<Value> {
        let mut command = self.cargo();
        command.args(["metadata", "--format-version", "1", "--no-deps"]);
        let json = shell::output(&mut command)?;
        serde_json::from_str(&json).context("parse the output of cargo metadata")
    }
}

/// The path of the cargo that started this program.
pub(crate) fn cargo_program() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(PathBuf::from(home));
    }
    let home = env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cargo"))
}

/// Whether this run is continuous integration.
pub(crate) fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}
