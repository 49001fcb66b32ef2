//! Checks that every file in this directory is compiled: the tests of a forgotten file would never run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

#[test]
fn every_file_is_compiled() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    for file in rust_files(&folder)? {
        let name = file
            .file_stem()
            .and_then(|name| name.to_str())
            .context("no name")?;
        let (parent, module) = match (name, file.parent().context("no parent")?) {
            ("main", _) => continue,
            ("mod", own) => {
                let module = own
                    .file_name()
                    .and_then(|name| name.to_str())
                    .context("no name")?;
                (own.parent().context("no parent")?, module)
            }
            (module, parent) => (parent, module),
        };
        let above = ["main.rs", "mod.rs"].map(|name| parent.join(name));
        let above = above
            .iter()
            .find(|file| file.exists())
            .context("no main.rs or mod.rs")?;
        let names = format!("mod {module};");
        ensure!(
            fs::read_to_string(above)?
                .lines()
                .any(|line| line.trim() == names),
            "{} has no `{names}`, so {} is never compiled",
            above.display(),
            file.display()
        );
    }
    Ok(())
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}
