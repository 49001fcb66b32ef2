//! Public tools that read the OpenAPI document: a validator, and generators of clients. Their
//! packages are pinned by hash in `tests/e2e/clients`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{debian, shell};

/// The programs that the tools need, with their Debian packages: (program, package).
const PROGRAMS: [(&str, &str); 3] = [("python3", "python3"), ("node", "nodejs"), ("npm", "npm")];

/// The tools and the clients that they generate, in the target directory.
pub(crate) struct ApiClients {
    document: PathBuf,
    /// The pinned packages.
    sources: PathBuf,
    folder: PathBuf,
}

impl ApiClients {
    /// Installs the tools.
    pub(crate) fn prepare(workspace: &Workspace) -> Result<Self> {
        install_programs()?;
        let clients = Self {
            document: workspace.root.join("host/http/openapi.json"),
            sources: workspace.root.join("tests/e2e/clients"),
            folder: workspace.target.join("api-clients"),
        };
        fs::create_dir_all(&clients.folder).context("create the folder of the API clients")?;
        clients.install_python_packages()?;
        clients.install_npm_packages()?;
        Ok(clients)
    }

    /// The directory with the tools and the generated clients.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Validates the document and generates clients from it. A warning of a generator is an error: it
    /// left something out.
    pub(crate) fn generate(&self) -> Result<()> {
        shell::run(
            self.python_program("openapi-spec-validator")?
                .arg(&self.document),
        )?;
        shell::run(
            self.python_program("openapi-python-client")?
                .args([
                    "generate",
                    "--overwrite",
                    "--fail-on-warning",
                    "--meta",
                    "none",
                ])
                .arg("--path")
                .arg(&self.document)
                .arg("--output-path")
                .arg(self.folder.join("python/tidegate_client")),
        )?;
        let types = self.folder.join("npm/tidegate.ts");
        shell::run(
            self.npm_program("openapi-typescript")
                .arg(&self.document)
                .args(["--output"])
                .arg(&types),
        )?;
        shell::run(
            self.npm_program("tsc")
                .args(["--noEmit", "--strict"])
                .arg(types),
        )
    }

    fn install_python_packages(&self) -> Result<()> {
        let requirements = self.sources.join("python/requirements.txt");
        let venv = self.folder.join("venv");
        if !venv.join("bin/pip").is_file() {
            shell::output(Command::new("python3").args(["-m", "venv"]).arg(&venv))
                .context("make a virtual environment of Python")?;
        }
        let mut pip = Command::new(venv.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check"])
            .args([
                "--require-hashes",
                "--only-binary",
                ":all:",
                "--requirement",
            ]);
        shell::output(pip.arg(requirements)).map(drop)
    }

    fn install_npm_packages(&self) -> Result<()> {
        let folder = self.folder.join("npm");
        fs::create_dir_all(&folder)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(self.sources.join("npm").join(file), folder.join(file))
                .with_context(|| format!("copy {file}"))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        shell::output(npm.current_dir(folder)).map(drop)
    }

    /// A program of a Python package. It finds the others, such as the generator its formatter.
    fn python_program(&self, name: &str) -> Result<Command> {
        let programs = self.folder.join("venv/bin");
        let mut command = Command::new(programs.join(name));
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(std::iter::once(programs).chain(env::split_paths(&path)))?;
        command.env("PATH", path);
        Ok(command)
    }

    /// A program of an npm package.
    fn npm_program(&self, name: &str) -> Command {
        Command::new(self.folder.join("npm/node_modules/.bin").join(name))
    }
}

fn install_programs() -> Result<()> {
    let mut missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| !debian::is_on_path(program))
        .map(|(_, package)| *package)
        .collect();
    if !debian::has_venv() {
        missing.push("python3-venv");
    }
    if missing.is_empty() {
        return Ok(());
    }
    if !debian::may_install() {
        bail!("{} must be installed", missing.join(", "));
    }
    debian::install(&missing, "generators of clients of the REST API")
}
