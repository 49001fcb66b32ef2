//! The compiler for guests: the toolchain's own if it has the target, else Debian's, else one from
//! rustup.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::workspace::{Workspace, cargo_program, is_ci};
use crate::{debian, shell};

/// The target of guests: without WASI, so that there is nothing to import.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// More than the built-in plugins need for a decision, so that their memory does not grow during a
/// call. This is address space: untouched pages use no memory.
const INITIAL_HEAP: &str = "-Clink-arg=--initial-heap=262144";

const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust";
/// Builds the standard library without its default features, which are unwinding and backtraces: plugins have neither, and
/// the parsers of debug information take longer to compile than `std` itself.
const DEBIAN_BUILD_STD: [&str; 2] = ["-Zbuild-std=std,panic_abort", "-Zbuild-std-features="];

/// The compilers for [`TARGET`]. Each has a standard library of its own, so the bytes of a
/// component differ between them, but not otherwise.
#[derive(Clone, Debug)]
pub(crate) enum WasmToolchain {
    /// The default toolchain has the target.
    Rustup {
        /// The directory of its compiler and standard library.
        sysroot: PathBuf,
    },
    /// Debian's compiler, which builds the standard library from source.
    Debian {
        /// The linker for Wasm.
        linker: PathBuf,
    },
}

impl WasmToolchain {
    /// Finds a compiler for guests, or installs one.
    pub(crate) fn find(workspace: &Workspace) -> Result<Self> {
        let sysroot = sysroot(workspace)?;
        if has_target(&sysroot) {
            return Ok(Self::Rustup { sysroot });
        }
        if debian_is_ready(workspace)? {
            return Ok(Self::Debian {
                linker: linker(&sysroot)?,
            });
        }
        let mut tried = Vec::new();
        if debian::may_install() {
            match install_from_debian(workspace) {
                Ok(()) => {
                    return Ok(Self::Debian {
                        linker: linker(&sysroot)?,
                    });
                }
                Err(error) => tried.push(error),
            }
        }
        // rustup's download server is not reachable everywhere, so CI does not depend on it.
        if !is_ci() {
            println!("adding {TARGET} by rustup: plugins and policies are WebAssembly");
            match shell::output(Command::new("rustup").args(["target", "add", TARGET])) {
                Ok(_) if has_target(&sysroot) => return Ok(Self::Rustup { sysroot }),
                Ok(_) => tried.push(anyhow!("rustup added the target to another toolchain")),
                Err(error) => tried.push(error),
            }
        }
        let tried: Vec<_> = tried.iter().map(|error| format!("{error:#}")).collect();
        bail!(
            "no compiler for {TARGET}: run `rustup target add {TARGET}`, or on Debian 12, as \
             root, `apt-get update && apt-get install {}`, then try again; tried: {}",
            DEBIAN_PACKAGES.join(" "),
            tried.join("; ")
        )
    }

    /// A `cargo build` for [`TARGET`], without packages. The same sources give the same bytes,
    /// whatever the directories of the sources, the target and cargo's home.
    pub(crate) fn cargo_build(&self, workspace: &Workspace, target: &Path) -> Command {
        let mut command = match self {
            Self::Rustup { .. } => Command::new(cargo_program()),
            Self::Debian { linker } => {
                let mut command = Command::new(DEBIAN_CARGO);
                command
                    // It points to the libraries of the cargo that started this program.
                    .env_remove("LD_LIBRARY_PATH")
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
                command
            }
        };
        command
            .current_dir(&workspace.root)
            .env("CARGO_HOME", &workspace.cargo_home)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags(workspace, target))
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS")
            .args(["build", "--target", TARGET, "--target-dir"])
            .arg(target);
        if matches!(self, Self::Debian { .. }) {
            command.args(DEBIAN_BUILD_STD);
        }
        command
    }

    /// The programs of an author with this toolchain, if they are not those in the PATH.
    pub(crate) fn author_programs(&self) -> &'static [&'static str] {
        match self {
            Self::Rustup { .. } => &[],
            Self::Debian { .. } => &[DEBIAN_CARGO, DEBIAN_RUSTC, "/usr/bin/rustdoc"],
        }
    }

    /// The linker that makes components, and the one for modules that it starts. They are parts of
    /// the default toolchain, whose own compiler finds them itself.
    pub(crate) fn component_linkers(workspace: &Workspace) -> Result<[PathBuf; 2]> {
        let sysroot = sysroot(workspace)?;
        let linkers = ["wasm-component-ld", "rust-lld"];
        let linkers = linkers.map(|name| bundled_program(&sysroot, name));
        if let Some(missing) = linkers.iter().find(|linker| !linker.exists()) {
            bail!(
                "{} does not exist: use a toolchain that rustup installs",
                missing.display()
            );
        }
        Ok(linkers)
    }

    /// Compiler flags in cargo's encoding. Most of them remove this machine's directories from the
    /// output. Of several matching prefixes the last one wins, so nested directories come after the
    /// outer ones.
    fn flags(&self, workspace: &Workspace, target: &Path) -> OsString {
        let source = match self {
            Self::Rustup { sysroot } => sysroot.join("lib/rustlib/src/rust"),
            Self::Debian { .. } => PathBuf::from(DEBIAN_SOURCE),
        };
        let mut prefixes = vec![
            (workspace.root.clone(), "/src"),
            (target.to_path_buf(), "/target"),
            (workspace.cargo_home.clone(), "/cargo"),
            (source.clone(), "/rust"),
        ];
        if let Ok(canonical) = source.canonicalize() {
            prefixes.push((canonical, "/rust"));
        }
        let mut flags = OsString::from(INITIAL_HEAP);
        for (from, to) in prefixes {
            flags.push("\u{1f}--remap-path-prefix=");
            flags.push(from);
            flags.push("=");
            flags.push(to);
        }
        flags
    }
}

fn install_from_debian(workspace: &Workspace) -> Result<()> {
    debian::install(
        &DEBIAN_PACKAGES,
        "this Rust toolchain cannot build WebAssembly",
    )?;
    if !debian_is_ready(workspace)? {
        bail!(
            "Debian's compiler is older than `rust-version` in Cargo.toml: is \
             bookworm-security among apt's sources?"
        );
    }
    Ok(())
}

fn sysroot(workspace: &Workspace) -> Result<PathBuf> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command
        .current_dir(&workspace.root)
        .args(["--print", "sysroot"]);
    shell::output(&mut command).map(PathBuf::from)
}

fn has_target(sysroot: &Path) -> bool {
    sysroot
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib")
        .is_dir()
}

/// Whether Debian's compiler, cargo and library sources are installed and recent enough.
fn debian_is_ready(workspace: &Workspace) -> Result<bool> {
    let installed = [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_SOURCE]
        .iter()
        .all(|p| Path::new(p).exists());
    if !installed {
        return Ok(false);
    }
    let required = rust_version(workspace)?;
    let version = shell::output(Command::new(DEBIAN_RUSTC).arg("--version"))?;
    Ok(version
        .split(' ')
        .nth(1)
        .and_then(minor)
        .is_some_and(|found| found >= required))
}

/// The minor version of Rust that the workspace requires.
fn rust_version(workspace: &Workspace) -> Result<u32> {
    let metadata = workspace.metadata()?;
    let versions = metadata["packages"].as_array().into_iter().flatten();
    versions
        .filter_map(|package| package["rust_version"].as_str().and_then(minor))
        .max()
        .context("no package of the workspace has a rust-version")
}

fn minor(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}

/// A linker for Wasm: that of the default toolchain, else LLVM's from Debian.
fn linker(sysroot: &Path) -> Result<PathBuf> {
    let bundled = bundled_program(sysroot, "rust-lld");
    if bundled.exists() {
        return Ok(bundled);
    }
    let packaged = PathBuf::from("/usr/bin/wasm-ld-22");
    if !packaged.exists() {
        if !debian::may_install() {
            bail!("no linker for WebAssembly: install Debian's package lld-22, then try again");
        }
        debian::install(
            &["lld-22"],
            "this Rust toolchain has no linker for WebAssembly",
        )?;
    }
    Ok(packaged)
}

/// Where a toolchain has the programs that its compiler starts.
fn bundled_program(sysroot: &Path, name: &str) -> PathBuf {
    let host = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    sysroot
        .join("lib/rustlib")
        .join(host)
        .join("bin")
        .join(name)
}
