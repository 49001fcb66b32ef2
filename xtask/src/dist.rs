//! `cargo xtask dist`: the shipped files, in `target/dist`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{components, shell};

/// The variable with the list of built-in plugins that the server is built with. The build fails without that file.
const BUILT_INS: &str = "TIDEGATE_BUILT_INS";

/// Builds the server with the profile `dist` (into `target/dist`), and copies the components next
/// to it.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let built = components::build(workspace)?;
    shell::run(&mut build_server(workspace.cargo(), &built))?;
    let dist = workspace.target.join("dist");
    let shipped = dist.join("components");
    if shipped.exists() {
        fs::remove_dir_all(&shipped).context("remove the previous components")?;
    }
    fs::create_dir_all(&shipped).with_context(|| format!("create {}", shipped.display()))?;
    for entry in fs::read_dir(&built).with_context(|| format!("list {}", built.display()))? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
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

/// Builds the server with the list of these components.
fn build_server(mut cargo: Command, components: &Path) -> Command {
    cargo
        .args(["build", "--profile", "dist", "--package", "tidegate"])
        .env(BUILT_INS, components.join(components::LIST));
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_built_with_the_list_of_its_components() {
        let command = build_server(Command::new("cargo"), Path::new("/target/components"));
        let list = command.get_envs().find(|(name, _)| *name == BUILT_INS);
        let list = list.and_then(|(_, list)| list);
        assert_eq!(list, Some("/target/components/SHA256SUMS".as_ref()));
    }
}
