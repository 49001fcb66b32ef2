//! Reproducible builds: builds all components again, from a copy of the sources in another
//! directory, with another target directory and another cargo home.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::components;
use crate::shell;
use crate::workspace::Workspace;

/// Builds everything again and compares. Takes about a minute, because nothing is shared with the
/// first build.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let first = components::build(workspace)?;
    build_again(workspace, &first)
}

fn build_again(workspace: &Workspace, first: &Path) -> Result<()> {
    let elsewhere = workspace.target.join("reproducible");
    if elsewhere.exists() {
        fs::remove_dir_all(&elsewhere).context("remove the previous second build")?;
    }
    let copy = Workspace {
        root: elsewhere.join("some/other/checkout"),
        target: elsewhere.join("products"),
        cargo_home: elsewhere.join("cargo-home"),
    };
    copy_folder(&workspace.root, &copy.root, &|name| {
        name != "target" && name != ".git"
    })?;
    // The sources of the dependencies are the same files, at another path.
    symlink(&workspace.cargo_home, &copy.cargo_home).context("link another home for cargo")?;
    let second = components::build(&copy)?;

    let different = different(first, &second)?;
    if !different.is_empty() {
        bail!(
            "built from {}, these components differ: {}; compare with {}",
            copy.root.display(),
            different.join(", "),
            first.display()
        );
    }
    println!("all components are identical");
    fs::remove_dir_all(&elsewhere).context("remove the second build")?;
    record(workspace, first)
}

/// The same, unless these components were already built twice by this compiler.
pub(crate) fn check_changed(workspace: &Workspace) -> Result<()> {
    let components = components::build(workspace)?;
    let recorded_folder = recorded_folder(workspace);
    let compiler = fs::read_to_string(recorded_folder.join(COMPILER));
    if compiler.is_ok_and(|text| compiler_version().is_ok_and(|version| version == text))
        && different(&components, &recorded_folder.join(COMPONENTS))?.is_empty()
    {
        println!(
            "these components were already built twice: run `cargo xtask reproducible` to do it again"
        );
        return Ok(());
    }
    build_again(workspace, &components)
}

const COMPILER: &str = "compiler";
const COMPONENTS: &str = "components";

/// The directory of the components that were identical twice, and of the compiler's version.
fn recorded_folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("reproduced")
}

fn record(workspace: &Workspace, components: &Path) -> Result<()> {
    let recorded_folder = recorded_folder(workspace);
    if recorded_folder.exists() {
        fs::remove_dir_all(&recorded_folder).context("remove the recorded components")?;
    }
    copy_folder(components, &recorded_folder.join(COMPONENTS), &|_| true)?;
    fs::write(recorded_folder.join(COMPILER), compiler_version()?).context("record the compiler")
}

fn compiler_version() -> Result<String> {
    shell::output(Command::new("rustc").arg("-vV"))
}

/// The names of the components that differ, or exist in one directory only.
fn different(one: &Path, other: &Path) -> Result<Vec<String>> {
    let mut names = components(one)?;
    names.append(&mut components(other)?);
    let read = |folder: &Path, name: &str| fs::read(folder.join(name)).ok();
    names.retain(|name| read(one, name) != read(other, name));
    Ok(names.into_iter().collect())
}

/// The names of the files in a folder, sorted, without those in folders in it.
fn components(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// Copies a directory except for top-level entries that `is_wanted` rejects by name.
fn copy_folder(from: &Path, to: &Path, is_wanted: &dyn Fn(&str) -> bool) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(is_wanted) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_and_extra_components_differ() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("tidegate-xtask-{}", std::process::id()));
        let (one, other) = (folder.join("one"), folder.join("other"));
        for (file, bytes) in [
            (one.join("same"), "1"),
            (other.join("same"), "1"),
            (one.join("changed"), "1"),
            (other.join("changed"), "2"),
            (other.join("new"), ""),
        ] {
            fs::create_dir_all(file.parent().context("a folder")?)?;
            fs::write(file, bytes)?;
        }
        assert_eq!(different(&one, &other)?, ["changed", "new"]);
        assert_eq!(different(&other, &one)?, ["changed", "new"]);
        assert!(different(&one, &one)?.is_empty());
        fs::remove_dir_all(folder)?;
        Ok(())
    }
}
