use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::OnceLock,
};

use anyhow::{Context as _, Result};

/// A folder for this process, in the build's own folder. Those of processes that are gone are removed: servers that
/// tests share have nobody to clean up behind them.
pub(crate) fn of_this_process() -> Result<&'static Path> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();

    if let Some(dir) = FOLDER.get() {
        return Ok(dir);
    }
    let all = build_dir()?.join("tmp/e2e");
    fs::create_dir_all(&all).with_context(|| format!("make {}", all.display()))?;
    for entry in fs::read_dir(&all)?.flatten() {
        let name = entry.file_name();
        let is_of_gone = name
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
            .is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists());
        if is_of_gone {
            // Another run may be at it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let own = all.join(process::id().to_string());
    fs::create_dir_all(&own).with_context(|| format!("make {}", own.display()))?;
    Ok(FOLDER.get_or_init(|| own))
}

/// A new folder, removed when it is dropped.
pub(crate) fn new() -> Result<tempfile::TempDir> {
    let dir = of_this_process()?;
    tempfile::tempdir_in(dir).with_context(|| format!("make a folder in {}", dir.display()))
}

/// Where cargo puts what it builds: the test's own program is in `deps` of a profile's folder there.
pub(crate) fn build_dir() -> Result<PathBuf> {
    let program = std::env::current_exe().context("find the test's own program")?;
    program
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").exists())
        .map(Path::to_owned)
        .with_context(|| format!("find the build folder above {}", program.display()))
}

/// All files below a folder, in order. What vanishes meanwhile is left out.
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
