use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process,
    sync::OnceLock,
};

use anyhow::{Context as _, Result, bail};

/// The temporary directory of this process, inside the build directory. Removes those of ended processes, because
/// shared servers are never dropped.
pub(crate) fn of_this_process() -> Result<&'static Path> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();

    if let Some(dir) = FOLDER.get() {
        return Ok(dir);
    }
    let all = build_dir()?.join("tmp/e2e");
    fs::create_dir_all(&all).with_context(|| format!("create {}", all.display()))?;
    for entry in fs::read_dir(&all)?.flatten() {
        let name = entry.file_name();
        let is_of_gone = name
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
            .is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists());
        if is_of_gone {
            // Another test process may remove it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let own = all.join(process::id().to_string());
    fs::create_dir_all(&own).with_context(|| format!("create {}", own.display()))?;
    Ok(FOLDER.get_or_init(|| own))
}

/// A new directory, removed when it is dropped.
pub(crate) fn new() -> Result<tempfile::TempDir> {
    let dir = of_this_process()?;
    tempfile::tempdir_in(dir).with_context(|| format!("create a directory in {}", dir.display()))
}

/// Cargo's build directory. The test program is in `deps` of a profile's directory below it.
pub(crate) fn build_dir() -> Result<PathBuf> {
    let program = std::env::current_exe().context("find the test's own program")?;
    program
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").exists())
        .map(Path::to_owned)
        .with_context(|| format!("find the build directory above {}", program.display()))
}

/// The directory of the built-in components.
pub fn components() -> Result<PathBuf> {
    let dir = build_dir()?.join("components");
    let canary = dir.join("canary.wasm");
    if !canary.exists() {
        bail!(
            "{} does not exist: run `cargo xtask components` first",
            canary.display()
        );
    }
    Ok(dir)
}

/// Shares the cache of compiled components between all servers of this build.
pub(crate) fn share_compiled_code(data_dir: &Path) -> Result<()> {
    let shared = build_dir()?.join("tmp/e2e-compiled");
    fs::create_dir_all(&shared).with_context(|| format!("create {}", shared.display()))?;
    symlink(&shared, data_dir.join("compiled")).context("link the compiled code")
}

/// All files below a directory, sorted. Files that are removed meanwhile are left out.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect();
    files.sort_unstable();
    files
}
