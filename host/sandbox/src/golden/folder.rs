//! Folders of goldens.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The goldens of a folder (`*.json`), ordered by name.
pub fn golden_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "json") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}
