//! Packages from Debian's archive.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Whether Debian packages can be installed: this is Debian, and the process is root.
pub(crate) fn may_install() -> bool {
    is_debian() && is_root()
}

/// Whether this is Debian or a derivative.
pub(crate) fn is_debian() -> bool {
    fs::read_to_string("/etc/os-release").is_ok_and(|text| {
        text.lines().any(|line| {
            line.strip_prefix("ID=")
                .or_else(|| line.strip_prefix("ID_LIKE="))
                .is_some_and(|ids| ids.trim_matches('"').split(' ').any(|id| id == "debian"))
        })
    })
}

/// Whether a program is in the PATH.
pub(crate) fn is_on_path(program: &str) -> bool {
    find_on_path(Path::new(program)).is_some()
}

/// The file of a program in the PATH; an absolute path is that of the program.
pub(crate) fn find_on_path(program: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut candidates = env::split_paths(&path).map(|folder| folder.join(program));
    candidates.find(|candidate| candidate.is_file())
}

/// Whether Python can make virtual environments. Debian's `python3` alone cannot.
pub(crate) fn has_venv() -> bool {
    let mut python = Command::new("python3");
    shell::output(python.args(["-c", "import ensurepip, venv"])).is_ok()
}

/// Whether the process runs as root.
pub(crate) fn is_root() -> bool {
    shell::output(Command::new("id").arg("-u")).is_ok_and(|uid| uid == "0")
}

/// Installs packages without their recommendations, and prints which and why.
///
/// The package lists are updated first: with outdated ones apt finds old packages, or files that
/// the archive no longer has.
pub(crate) fn install(packages: &[&str], why: &str) -> Result<()> {
    println!("installing {} from Debian: {why}", packages.join(" "));
    // Updating other archives may fail; if Debian's failed, the installation reports it.
    let _ = shell::output(apt().args(["update", "--quiet"]));
    shell::output(
        apt()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages),
    )
    .map(drop)
    .with_context(|| {
        format!(
            "install Debian's packages by hand: apt-get install {}",
            packages.join(" ")
        )
    })
}

/// Downloads a package and unpacks its files into a directory, without installing it.
pub(crate) fn unpack(package: &str, folder: &Path, why: &str) -> Result<()> {
    if !is_debian() {
        bail!("{package} is not installed");
    }
    println!(
        "unpacking {package} from Debian into {}: {why}",
        folder.display()
    );
    let archives = folder.with_extension("download");
    fs::create_dir_all(&archives).with_context(|| format!("create {}", archives.display()))?;
    if is_root() {
        let _ = shell::output(apt().args(["update", "--quiet"]));
    }
    // As root apt would switch to a user who may not be able to write here.
    shell::output(apt().current_dir(&archives).args([
        "-o",
        "APT::Sandbox::User=root",
        "download",
        package,
    ]))?;
    for archive in fs::read_dir(&archives)? {
        let mut command = Command::new("dpkg-deb");
        shell::output(command.arg("--extract").arg(archive?.path()).arg(folder))?;
    }
    fs::remove_dir_all(&archives).with_context(|| format!("remove {}", archives.display()))
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-o", "DPkg::Lock::Timeout=300"]);
    command
}
