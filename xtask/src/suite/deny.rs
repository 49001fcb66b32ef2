//! Checks the dependencies with cargo-deny. Advisories are not checked: they change without a
//! commit, and need the network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell;
use crate::workspace::Workspace;

const VERSION: &str = "0.20.2";

/// Checks the rules of `deny.toml`: licences and sources of all packages, bans for the shipped
/// ones.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let program = find_or_build(workspace)?;
    let deny = || {
        let mut command = Command::new(&program);
        command
            .current_dir(&workspace.root)
            .args(["--workspace", "--log-level", "error"]);
        command
    };
    shell::run(deny().args(["check", "licenses", "sources"]))?;
    let mut bans = deny();
    bans.arg("--exclude-dev");
    for package in tests_only(&workspace.metadata()?) {
        bans.args(["--exclude", &package]);
    }
    shell::run(bans.args(["check", "bans"]))
}

/// The packages below `tests`: a benchmark may use axum directly, a third-party device client has a
/// TLS library of its own.
fn tests_only(metadata: &Value) -> Vec<String> {
    let Some(root) = metadata["workspace_root"].as_str() else {
        return Vec::new();
    };
    let tests = Path::new(root).join("tests");
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .filter(|package| {
            package["manifest_path"]
                .as_str()
                .is_some_and(|path| Path::new(path).starts_with(&tests))
        })
        .filter_map(|package| package["name"].as_str().map(str::to_owned))
        .collect()
}

fn find_or_build(workspace: &Workspace) -> Result<PathBuf> {
    let tools = workspace.target.join("tools");
    let program = tools.join("bin/cargo-deny");
    let present = shell::output(Command::new(&program).arg("--version"))
        .is_ok_and(|version| version.ends_with(VERSION));
    if present {
        return Ok(program);
    }
    println!("building cargo-deny {VERSION}: it reads deny.toml");
    let build = tools.join("build");
    // Optimised for a quick build: it runs for a second.
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
            .arg(&build)
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    )
    .context(
        "cargo-deny is downloaded by cargo: connect to the network once, or use --skip deny",
    )?;
    fs::remove_dir_all(&build).context("remove the build directory of cargo-deny")?;
    Ok(program)
}
