//! The commands on components in files, which need no server.

mod check;
mod goldens;
mod run;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::tidegate;

/// A working directory with components.
struct Workbench(TempDir);

impl Workbench {
    fn new() -> Result<Self> {
        Ok(Self(TempDir::new()?))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(&path, content)?;
        Ok(path)
    }

    /// `tidegate plugin` here. Compiled code is cached in cargo's folder, for all tests.
    fn plugin(&self, args: &[&str]) -> Command {
        let mut command = tidegate();
        command.current_dir(self.path()).arg("plugin").args(args);
        command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
        // Calls must not end by a deadline because the machine is busy.
        command.env("TIDEGATE_SANDBOX__DEADLINE", "2s");
        command.env("TIDEGATE_SANDBOX__PLANNING_DEADLINE", "30s");
        command
    }

    fn run(&self, args: &[&str]) -> Result<Output> {
        Ok(self.plugin(args).output()?)
    }

    /// The output of a command with `--json`, whatever its exit code.
    fn json(&self, args: &[&str]) -> Result<(Option<i32>, Value)> {
        let output = self.run(&[args, &["--json"]].concat())?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let value = serde_json::from_slice(&output.stdout).context(stderr)?;
        Ok((output.status.code(), value))
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A component that `cargo xtask components` builds.
fn built_component(name: &str) -> Result<Vec<u8>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("components");
    let path = folder.join(name).with_extension("wasm");
    let context = || {
        let path = path.display();
        format!("{path} does not exist: run `cargo xtask components` first")
    };
    fs::read(&path).with_context(context)
}

#[test]
fn the_help_shows_no_options_of_a_server() -> Result<()> {
    let workbench = Workbench::new()?;
    for command in ["inspect", "check", "run", "test", "bench"] {
        let help = stdout(&workbench.run(&[command, "--help"])?);
        assert!(help.contains("--json"), "{help}");
        assert!(help.contains("--config <FILE>"), "{help}");
        for option in ["--url", "--key", "--server-timeout"] {
            assert!(!help.contains(option), "{command}: {help}");
        }
    }
    let help = stdout(&workbench.run(&["list", "--help"])?);
    assert!(help.contains("--url <URL>"), "{help}");
    Ok(())
}

#[test]
fn nothing_is_left_behind_without_a_cache_folder() -> Result<()> {
    let workbench = Workbench::new()?;
    let temporary = TempDir::new()?;
    workbench.write(
        "honest.wasm",
        tidegate_hostile::HostilePlugin::Honest.component()?,
    )?;
    for home in ["", "relative", "/proc/none"] {
        let output = workbench
            .plugin(&["run", "honest.wasm", "describe"])
            .env_remove("XDG_CACHE_HOME")
            .env("HOME", home)
            .env("TMPDIR", temporary.path())
            .output()?;
        crate::check(&output, 0, "fuel: ");
        assert_eq!(fs::read_dir(temporary.path())?.count(), 0, "{home}");
        assert_eq!(fs::read_dir(workbench.path())?.count(), 1, "{home}");
    }
    Ok(())
}
