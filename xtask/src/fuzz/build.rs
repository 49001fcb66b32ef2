//! Builds the tests of all packages with fuzz targets, with libFuzzer.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::Workspace;
use crate::{debian, shell};

/// The flags of `cargo bolero test --sanitizer NONE` (cargo-bolero 0.13, `src/libfuzzer.rs`):
/// counters for each edge of the code, and tracing of comparisons.
const FLAGS: [&str; 8] = [
    "--cfg fuzzing",
    "--cfg fuzzing_libfuzzer",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-sanitizer-coverage-stack-depth",
];

/// Packages that the tests are linked with, that take minutes to optimise, and that no target
/// calls.
const UNOPTIMISED: [&str; 5] = [
    "libsqlite3-sys",
    "sqlx-core",
    "sqlx-postgres",
    "sqlx-sqlite",
    "tidegate-store",
];

/// Builds the test programs and returns their paths.
pub(super) fn programs(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    ensure_cxx_compiler()?;
    let mut command = workspace.cargo();
    command.args([
        "test",
        "--no-run",
        "--lib",
        "--message-format",
        "json-render-diagnostics",
    ]);
    // With `--target`, build scripts and macros are not instrumented and are shared with every
    // other build.
    command.args(["--target", &host()?]);
    for package in packages(&workspace.metadata()?) {
        command.args(["--package", &package]);
    }
    for package in UNOPTIMISED {
        let plain = format!("profile.dev.package.{package}.opt-level=0");
        command.args(["--config", &plain]);
    }
    command
        .env("RUSTFLAGS", FLAGS.join(" "))
        // Optimised code runs dozens of times as many inputs.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        // With several codegen units the linker drops counters.
        .env("CARGO_PROFILE_DEV_CODEGEN_UNITS", "1")
        .env("CARGO_INCREMENTAL", "0")
        .stderr(Stdio::inherit());
    let messages = shell::output(&mut command)?;
    Ok(messages.lines().filter_map(program).collect())
}

/// The test program that a message of cargo reports.
fn program(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_test = message["profile"]["test"].as_bool()?;
    is_test.then(|| message["executable"].as_str().map(PathBuf::from))?
}

/// The packages with targets: those that depend on bolero.
fn packages(metadata: &Value) -> Vec<String> {
    let knows = |package: &&Value| {
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        dependencies
            .into_iter()
            .any(|dependency| dependency["name"] == "bolero")
    };
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .filter(knows)
        .filter_map(|package| package["name"].as_str().map(str::to_owned))
        .collect()
}

/// The target triple of this machine.
fn host() -> Result<String> {
    let version = shell::output(Command::new("rustc").arg("-vV"))?;
    version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc does not report its host")
}

/// libFuzzer is C++ code, compiled at its first use.
fn ensure_cxx_compiler() -> Result<()> {
    if env::var_os("CXX").is_some() || debian::is_on_path("c++") {
        return Ok(());
    }
    if !debian::may_install() {
        bail!(
            "install a C++ compiler, such as Debian's package g++: libFuzzer is compiled with it"
        );
    }
    debian::install(&["g++"], "libFuzzer is compiled with it")
}
