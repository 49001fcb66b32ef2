//! Plugins as their authors build them: `tidegate plugin new` writes the projects, and the commands
//! of their READMEs and of the tutorial build them, with tools from the public registries.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::wasm_toolchain::{TARGET, WasmToolchain};
use crate::workspace::{self, Workspace};
use crate::{debian, shell};

/// The projects: (language, kind).
const PROJECTS: [(&str, &str); 5] = [
    ("rust", "strategy"),
    ("rust", "compatibility-policy"),
    ("rust", "health-policy"),
    ("javascript", "strategy"),
    ("python", "strategy"),
];

/// The programs that a language needs, with their Debian packages: (language, program, package).
const PROGRAMS: [(&str, &str, &str); 4] = [
    ("javascript", "node", "nodejs"),
    ("javascript", "npm", "npm"),
    ("python", "make", "make"),
    ("python", "python3", "python3"),
];

/// Builds the projects and runs the tests of their components, and the tutorial. Other languages
/// than Rust only if third-party tools were requested, or if this is continuous integration.
pub(crate) fn check(workspace: &Workspace, asked: bool) -> Result<()> {
    let tools = AuthorTools::prepare(workspace)?;
    for (language, kind) in PROJECTS {
        if language != "rust" && !asked && !workspace::is_ci() {
            println!("=== SKIPPED: a plugin in {language}; request it with --clients");
            continue;
        }
        install_programs(language)?;
        tools.build_project(workspace, language, kind)?;
    }
    if !debian::is_on_path("curl") {
        install(&["curl"], "the tutorial for plugin authors calls it")?;
    }
    // Of the whole workspace, whose tests are built already; the name selects the tests.
    let mut command = workspace.cargo();
    command
        .args(["test", "--workspace", "--test", "it"])
        .args(["--", "--nocapture", "plugin_projects"])
        .env("TIDEGATE_TEST_PLUGIN_PROJECTS", &tools.folder);
    shell::run(&mut command)
}

/// What an author has installed, and the folders of the builds:
///
/// - `bin`: `tidegate`, `cargo` and the linkers for components,
/// - `projects`: the projects, each with its component,
/// - `target`: cargo's products, which all projects share, and which are kept.
struct AuthorTools {
    folder: PathBuf,
}

impl AuthorTools {
    fn prepare(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.target.join("plugin-projects");
        for old in ["bin", "projects"].map(|name| folder.join(name)) {
            if old.exists() {
                fs::remove_dir_all(&old).with_context(|| format!("remove {}", old.display()))?;
            }
            fs::create_dir_all(&old).with_context(|| format!("create {}", old.display()))?;
        }
        fs::create_dir_all(folder.join("target")).context("create the folder for cargo")?;
        let tools = Self { folder };
        tools.link("tidegate", &workspace.target.join("debug/tidegate"))?;
        for program in WasmToolchain::component_linkers(workspace)? {
            let name = program.file_name().context("a program without a name")?;
            tools.link(&name.to_string_lossy(), &program)?;
        }
        let cargo = tools.folder.join("bin/cargo");
        let script = WasmToolchain::find(workspace)?.cargo_script()?;
        fs::write(&cargo, script).context("write the script for cargo")?;
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755))?;
        Ok(tools)
    }

    fn link(&self, name: &str, program: &Path) -> Result<()> {
        symlink(program, self.folder.join("bin").join(name)).with_context(|| format!("link {name}"))
    }

    fn path(&self) -> Result<OsString> {
        let path = env::var_os("PATH").unwrap_or_default();
        let own = std::iter::once(self.folder.join("bin"));
        Ok(env::join_paths(own.chain(env::split_paths(&path)))?)
    }

    /// Writes a project and builds it by the commands below "Build" in its README.
    fn build_project(&self, workspace: &Workspace, language: &str, kind: &str) -> Result<()> {
        let name = format!("{language}-{kind}");
        println!("--- {name}");
        let project = self.folder.join("projects").join(&name);
        let mut new = Command::new(self.folder.join("bin/tidegate"));
        new.args(["plugin", "new", "--language", language, "--kind", kind])
            .arg(format!("acme/{name}"))
            .arg(&project);
        shell::run(&mut new)?;
        if language == "rust" {
            // The crates that the workspace uses, which are there already.
            fs::copy(
                workspace.root.join("Cargo.lock"),
                project.join("Cargo.lock"),
            )
            .context("copy Cargo.lock")?;
            symlink(self.folder.join("target"), project.join("target"))
                .context("share the products of cargo")?;
        }
        let commands = build_commands(&project.join("README.md"))?;
        let mut build = Command::new("bash");
        build
            .args(["-euxo", "pipefail", "-c", &commands])
            .current_dir(&project)
            .env("PATH", self.path()?)
            .env("CARGO_HOME", &workspace.cargo_home);
        for variable in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
            build.env_remove(variable);
        }
        shell::run(&mut build).with_context(|| format!("build {name}"))?;
        let component = match language {
            "rust" => {
                let crate_name = format!("acme_{name}").replace('-', "_");
                format!("target/{TARGET}/release/{crate_name}.wasm")
            }
            _ => "plugin.wasm".to_owned(),
        };
        fs::copy(project.join(&component), project.join("component.wasm"))
            .with_context(|| format!("copy {component} of {name}"))
            .map(drop)
    }
}

fn build_commands(readme: &Path) -> Result<String> {
    let text = fs::read_to_string(readme).context("read the README of a project")?;
    let section = text
        .split_once("\n## Build\n")
        .context("no section Build")?
        .1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let block = section.split_once("```sh\n").context("no commands")?.1;
    let block = block.split_once("```").context("an open block")?.0;
    Ok(block.to_owned())
}

fn install_programs(language: &str) -> Result<()> {
    let mut missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(of, program, _)| *of == language && !debian::is_on_path(program))
        .map(|(_, _, package)| *package)
        .collect();
    if language == "python" && !debian::has_venv() {
        missing.push("python3-venv");
    }
    install(&missing, &format!("a plugin in {language}"))
}

fn install(packages: &[&str], why: &str) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    if !debian::may_install() {
        bail!("{} must be installed: {why}", packages.join(", "));
    }
    debian::install(packages, why)
}
