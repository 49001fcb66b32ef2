//! cargo-deny over the dependencies. Advisories are left out: they change without us, and need a
//! network.

use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;
use crate::workspace::Workspace;

const VERSION: &str = "0.20.2";

/// Checks the bans, licences and sources that `deny.toml` states.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let tools = workspace.target.join("tools");
    let program = tools.join("bin/cargo-deny");
    let present = shell::output(Command::new(&program).arg("--version"))
        .is_ok_and(|version| version.ends_with(VERSION));
    if !present {
        println!("building cargo-deny {VERSION}: it reads deny.toml");
        // Quick to build: it runs for a second.
        shell::run(
            workspace
                .cargo()
                .args([
                    "install",
                    "--quiet",
                    "--locked",
                    "cargo-deny",
                    "--version",
                    VERSION,
                ])
                .arg("--root")
                .arg(&tools)
                .arg("--target-dir")
                .arg(tools.join("build"))
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
        )
        .context("cargo-deny comes from crates.io: connect once, or use --skip deny")?;
        std::fs::remove_dir_all(tools.join("build"))
            .context("remove what only the build needed")?;
    }
    let mut command = Command::new(program);
    command
        .current_dir(&workspace.root)
        .args(["--workspace", "--log-level", "error", "check"]);
    shell::run(command.args(["bans", "licenses", "sources"]))
}
