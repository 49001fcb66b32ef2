//! The steps of `cargo xtask test`, in their order.

use std::process::Command;

use anyhow::Result;

use super::{SuiteRun, commits, deny, test_counts};
use crate::demo::{self, Profile};
use crate::fuzz::{self, FuzzOptions};
use crate::postgres::{self, Cluster};
use crate::{clients, components, plugin_projects, reproducible, shell};

/// A step of continuous integration.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Earlier steps whose products this step needs.
    pub(super) needs: &'static [&'static str],
    pub(super) run: fn(&mut SuiteRun) -> Result<()>,
}

pub(super) const STEPS: &[Step] = &[
    Step {
        name: "format",
        about: "rustfmt",
        needs: &[],
        run: format,
    },
    Step {
        name: "lint",
        about: "clippy, warnings denied",
        needs: &[],
        run: lint,
    },
    Step {
        name: "docs",
        about: "rustdoc, warnings denied",
        needs: &[],
        run: docs,
    },
    Step {
        name: "commits",
        about: "the length of commit subjects",
        needs: &[],
        run: |run| commits::check(run.workspace),
    },
    Step {
        name: "deny",
        about: "bans, licences and sources of dependencies",
        needs: &[],
        run: |run| deny::check(run.workspace),
    },
    Step {
        name: "components",
        about: "plugins and policies to WebAssembly",
        needs: &[],
        run: |run| components::build_with_examples(run.workspace),
    },
    Step {
        name: "build",
        about: "server and tests",
        needs: &["components"],
        run: build,
    },
    Step {
        name: "unit",
        about: "all tests, on SQLite and PostgreSQL",
        needs: &["components", "build"],
        run: unit,
    },
    Step {
        name: "package",
        about: "the plugin SDK as a package for authors",
        needs: &[],
        run: package,
    },
    Step {
        name: "projects",
        about: "the projects of `tidegate plugin new`, and the tutorial for plugin authors",
        needs: &["components", "build"],
        run: |run| plugin_projects::check(run.workspace, run.clients),
    },
    Step {
        name: "fuzz",
        about: "parsers, from their stored inputs",
        needs: &[],
        run: |run| fuzz::run(run.workspace, &[], FuzzOptions::SHORT),
    },
    Step {
        name: "clients",
        about: "third-party clients of devices and of the REST API, with --clients or CI=true",
        needs: &["components", "build"],
        run: |run| clients::run(run.workspace, run.clients),
    },
    Step {
        name: "reproducible",
        about: "the same components from another directory",
        needs: &["components"],
        run: |run| reproducible::check_changed(run.workspace),
    },
    Step {
        name: "demo",
        about: "complete campaigns, end to end",
        needs: &["components", "build"],
        run: |run| demo::run_to_end(run.workspace, Profile::Dev),
    },
];

fn format(run: &mut SuiteRun) -> Result<()> {
    shell::run(cargo(run).args(["fmt", "--all", "--check"]))
}

fn lint(run: &mut SuiteRun) -> Result<()> {
    shell::run(
        cargo(run)
            .args(["clippy", "--workspace", "--all-targets"])
            .args(["--", "-D", "warnings"]),
    )
}

fn docs(run: &mut SuiteRun) -> Result<()> {
    shell::run(
        cargo(run)
            .args(["doc", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// With all targets, so that the tests and the demo use the same features, and nothing is built
/// twice.
fn build(run: &mut SuiteRun) -> Result<()> {
    shell::run(cargo(run).args(["build", "--workspace", "--all-targets"]))
}

/// Builds what a registry would get, without publishing it. With changes that are not committed, as in a working copy.
fn package(run: &mut SuiteRun) -> Result<()> {
    shell::run(
        cargo(run)
            .args(["publish", "--dry-run", "--allow-dirty"])
            .args(["--package", "tidegate-plugin-sdk"]),
    )
}

/// On the server that the environment names, else on a temporary one.
fn unit(run: &mut SuiteRun) -> Result<()> {
    let mut command = cargo(run);
    command.args(["test", "--workspace", "--no-fail-fast"]);
    let cluster = Cluster::start_unless_configured()?;
    if let Some(cluster) = &cluster {
        command.env(postgres::VARIABLE, cluster.url());
    }
    let (test_counts, result) = test_counts::watch(&mut command)?;
    run.test_counts = Some(test_counts);
    result
}

fn cargo(run: &SuiteRun) -> Command {
    run.workspace.cargo()
}
