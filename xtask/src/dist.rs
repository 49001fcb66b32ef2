//! `cargo xtask dist`: the shipped files, in `target/dist`.

use std::fs;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{components, shell};

/// Builds the server with the profile `dist` (into `target/dist`), and copies the components next
/// to it.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let built = components::build(workspace)?;
    shell::run(
        workspace
            .cargo()
            .args(["build", "--profile", "dist", "--package", "tidegate"]),
    )?;
    let dist = workspace.target.join("dist");
    let shipped = dist.join("components");
    if shipped.exists() {
        fs::remove_dir_all(&shipped).context("remove the previous components")?;
    }
    fs::create_dir_all(&shipped).with_context(|| format!("create {}", shipped.display()))?;
    for entry in fs::read_dir(&built).with_context(|| format!("list {}", built.display()))? {
        let entry = entry?;
        fs::copy(entry.path(), shipped.join(entry.file_name()))
            .with_context(|| format!("copy {}", entry.path().display()))?;
    }
    println!(
        "{} and {}",
        dist.join("tidegate").display(),
        shipped.display()
    );
    Ok(())
}
