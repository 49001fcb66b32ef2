//! Plugins as their authors build them: `tidegate plugin new` writes the projects, and the commands
//! of their READMEs and of the tutorial build them, with tools from the public registries.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::wasm_toolchain::{TARGET, WasmToolchain};
use crate::workspace::{self, Workspace};
use crate::{debian, shell};

/// The projects: (language, kind).
const PROJECTS: [(&str, &str); 6] = [
    ("rust", "strategy"),
    ("rust", "compatibility-policy"),
    ("rust", "health-policy"),
    ("c", "strategy"),
    ("javascript", "strategy"),
    ("python", "strategy"),
];

/// The languages whose tools are installed into a virtual environment of Python.
const WITH_VENV: [&str; 2] = ["c", "python"];

/// The programs that a language needs, or other files, with their Debian packages: (language, file, package).
const PROGRAMS: [(&str, &str, &str); 10] = [
    ("c", "make", "make"),
    ("c", "python3", "python3"),
    ("c", "clang-22", "clang-22"),
    ("c", "wasm-ld-22", "lld-22"),
    ("c", "/usr/lib/wasm32-wasi/libc.a", "wasi-libc"),
    (
        "c",
        "/usr/lib/llvm-22/lib/clang/22/lib/wasi/libclang_rt.builtins-wasm32.a",
        "libclang-rt-22-dev-wasm32",
    ),
    ("javascript", "node", "nodejs"),
    ("javascript", "npm", "npm"),
    ("python", "make", "make"),
    ("python", "python3", "python3"),
];

const TUTORIAL: &str = include_str!("../../docs/plugins/tutorial.md");

/// What an author's shell does not have. The libraries are those of the cargo that started this program.
const FOREIGN_VARIABLES: [&str; 4] = [
    "CARGO_TARGET_DIR",
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "LD_LIBRARY_PATH",
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
/// - `bin`: `tidegate`, the linkers for components and, if Debian's Rust builds them, its programs,
/// - `projects`: the projects, each with its component,
/// - `cache`: what `tidegate plugin` compiles,
/// - `target`: cargo's products, which all projects share, and which are kept.
struct AuthorTools {
    folder: PathBuf,
}

impl AuthorTools {
    fn prepare(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.target.join("plugin-projects");
        for old in ["bin", "projects", "cache"].map(|name| folder.join(name)) {
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
        for program in WasmToolchain::find(workspace)?.author_programs() {
            let program = Path::new(program);
            let name = program.file_name().context("a program without a name")?;
            tools.link(&name.to_string_lossy(), program)?;
        }
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

    /// Writes a project, builds it, and tries its component by the commands in its README.
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
        self.run(workspace, &project, "Build")?;
        self.run(workspace, &project, "Check, test and run")?;
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

    /// Runs the commands of a section of a project's README.
    fn run(&self, workspace: &Workspace, project: &Path, section: &str) -> Result<()> {
        let commands = commands(&project.join("README.md"), section);
        let mut commands = commands.with_context(|| format!("read the section {section}"))?;
        if self.folder.join("bin/rustc").exists() {
            commands.insert_str(0, debian_commands()?);
        }
        let mut shell = Command::new("bash");
        shell
            .args(["-euxo", "pipefail", "-c", &commands])
            .current_dir(project)
            .env("PATH", self.path()?)
            .env("CARGO_HOME", &workspace.cargo_home)
            .env("XDG_CACHE_HOME", self.folder.join("cache"))
            // Calls must not end by a deadline because the machine is busy.
            .env("TIDEGATE_SANDBOX__DEADLINE", "2s")
            .env("TIDEGATE_SANDBOX__PLANNING_DEADLINE", "30s");
        for variable in FOREIGN_VARIABLES {
            shell.env_remove(variable);
        }
        shell::run(&mut shell).with_context(|| format!("{section} of {}", project.display()))
    }
}

/// The commands of the tutorial that prepare a terminal for Debian's Rust.
fn debian_commands() -> Result<&'static str> {
    let block = TUTORIAL
        .split_once("```bash\n")
        .context("no block of bash")?
        .1;
    Ok(block.split_once("```").context("an open block")?.0)
}

/// The commands of a section, without those that name a file which an author has yet to write.
fn commands(readme: &Path, section: &str) -> Result<String> {
    let text = fs::read_to_string(readme).context("read the README of a project")?;
    let begin = format!("\n## {section}\n");
    let (_, text) = text.split_once(&begin).context("no such section")?;
    let text = text.split("\n## ").next().unwrap_or_default();
    let block = text.split_once("```sh\n").context("no commands")?.1;
    let block = block.split_once("```").context("an open block")?.0;
    let lines = block.lines().filter(|line| !line.ends_with(" GOLDEN"));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn install_programs(language: &str) -> Result<()> {
    let mut missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(of, program, _)| *of == language && !debian::is_on_path(program))
        .map(|(_, _, package)| *package)
        .collect();
    if WITH_VENV.contains(&language) && !debian::has_venv() {
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
