//! The same sources give the same bytes: all components once more, from a copy of the sources in
//! another folder, with another target folder and another home of cargo.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::components;
use crate::workspace::Workspace;

/// Builds everything again elsewhere and compares. Takes about a minute, for nothing is shared with
/// the first build.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let first = components::build(workspace)?;
    let elsewhere = workspace.target.join("reproducible");
    if elsewhere.exists() {
        fs::remove_dir_all(&elsewhere).context("remove the last second build")?;
    }
    let copy = Workspace {
        root: elsewhere.join("some/other/checkout"),
        target: elsewhere.join("products"),
        cargo_home: elsewhere.join("cargo-home"),
    };
    copy_folder(&workspace.root, &copy.root, &|name| {
        name != "target" && name != ".git"
    })?;
    // The dependencies' sources are the same files, under another name.
    symlink(&workspace.cargo_home, &copy.cargo_home).context("link another home for cargo")?;
    let second = components::build(&copy)?;

    let names = components(&first)?;
    if names != components(&second)? {
        bail!(
            "{} and {} hold other components",
            first.display(),
            second.display()
        );
    }
    let mut different = Vec::new();
    for name in &names {
        if read(&first.join(name))? != read(&second.join(name))? {
            different.push(name.as_str());
        }
    }
    if !different.is_empty() {
        bail!(
            "built from {} these differ: {}; compare with {}",
            copy.root.display(),
            different.join(", "),
            first.display()
        );
    }
    println!("{} components are the same, byte for byte", names.len());
    fs::remove_dir_all(&elsewhere).context("remove the second build")
}

/// The names of the files in a folder, sorted.
fn components(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        names.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// Copies a folder but for the entries at its top that `wanted` refuses by name.
fn copy_folder(from: &Path, to: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(wanted) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&entry.path(), &to.join(&name), &|_| true)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(&name))
                .with_context(|| format!("copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
